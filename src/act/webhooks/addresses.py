"""Where a webhook may lead: to addresses of the public internet alone, unless the operator allows private ones.

The host is resolved once for each attempt, every address is checked, and the connection goes to a checked address
itself. So a name that leads elsewhere the next time (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

import httpx2

from act.policies.hosts import Unreadable, canonical_host

LOOKUP_SECONDS: Final = 5.0

Lookup = Callable[[str, int], Sequence[str]]

_PRINTABLE = re.compile(r"[!-\[\]^-~]+")  # of ASCII, without white space and backslash
_AUTHORITY_ENDS = re.compile("[/?#]")
_LOCAL_NAME = re.compile(r"(?!.*[0-9]$)[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?")

# The special-purpose registries of IANA (RFC 6890) as of 2026, and multicast. Written out: the `is_global` of older
# Pythons knows them in part. What an operator may allow comes first.
# What clouds give credentials at is in none of them where it ought to be: Azure's is a public address, and those of
# Alibaba, AWS, Google and Oracle are private ones, which an operator may allow.
_CLOUDS = [
    ip_network(n) for n in ("100.100.100.200", "168.63.129.16", "fd00:c1::a9fe:a9fe", "fd00:ec2::/32", "fd20:ce::254")
]
_PRIVATE_4 = [IPv4Network(n) for n in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_NEVER_4 = [
    IPv4Network(n)
    for n in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_PRIVATE_6 = [IPv6Network("::1/128"), IPv6Network("fc00::/7")]
_GLOBAL_6 = IPv6Network("2000::/3")
# Within global unicast: protocol assignments with Teredo, documentation, 6to4, direct delegation of AS112.
_NEVER_6 = [IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")]
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(ValueError):
    """A webhook cannot lead there; the message says why, without the address, which may be nobody's business."""

    def __init__(self, code: Literal["address_blocked", "host_unknown"], message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was read in the one way in which it is also used; `url.host` is a name or an IP address."""

    url: httpx2.URL
    port: int

    @property
    def host(self) -> str:
        return self.url.raw_host.decode("ascii")

    def at(self, address: str) -> httpx2.URL:
        """The same with an address in place of the name."""
        return self.url.copy_with(host=address)


def address_fault(written: str, *, private: bool = False) -> str | None:
    """Why nothing may be sent to an IP address, as words for a sentence; None when it may."""
    try:
        address = ip_address(written)
    except ValueError:
        return "no address"
    if isinstance(address, IPv4Address):
        return _fault_4(address, private)
    if address.scope_id is None and address in _NAT64:
        return _fault_4(IPv4Address(int(address) & 0xFFFFFFFF), private=False)
    return _fault_6(address, private)


def _fault_4(address: IPv4Address, private: bool) -> str | None:
    if any(address in network for network in _CLOUDS):
        return "an address where a cloud keeps its credentials"
    if any(address in network for network in _PRIVATE_4):
        return None if private else "a private or loopback address"
    if any(address in network for network in _NEVER_4):
        return "a link-local, multicast or reserved address"
    return None


def _fault_6(address: IPv6Address, private: bool) -> str | None:
    if address.scope_id is not None:
        return "an address of one network interface"
    if any(address in network for network in _CLOUDS):
        return "an address where a cloud keeps its credentials"
    if any(address in network for network in _PRIVATE_6):
        return None if private else "a private or loopback address"
    if address not in _GLOBAL_6 or any(address in network for network in _NEVER_6):
        return "a link-local, multicast, reserved or translated address"
    return None


def lookup(host: str, port: int) -> list[str]:
    """The IP addresses of a name, as the system knows them.

    Raises:
        OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Destinations:
    """Reads URLs and resolves them.

    Args:
        private: allow http, loopback and private addresses, and local names; for tests and closed networks.
    """

    def __init__(self, private: bool = False, lookup: Lookup | None = None) -> None:
        self._private = private
        self._lookup = lookup

    def read(self, text: str) -> Target:
        """A URL as it is used.

        Raises:
            Refused: it is not a URL of a receiver, or one that could be read in two ways.
        """
        if not _PRINTABLE.fullmatch(text):
            raise _blocked("it has white space, a backslash or characters beyond ASCII; percent-encode them")
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL:
            raise _blocked("it is not a URL") from None
        if url.scheme != "https" and not (url.scheme == "http" and self._private):
            raise _blocked("it does not begin with https://")
        if url.userinfo or "@" in _AUTHORITY_ENDS.split(text.partition("://")[2])[0]:
            raise _blocked("it has user information")
        if url.fragment or "#" in text:
            raise _blocked("it has a fragment")
        port = url.port if url.port is not None else {"https": 443, "http": 80}[url.scheme]
        if not 1 <= port <= 65535:
            raise _blocked("its port is not between 1 and 65535")
        target = Target(url, port)
        self._check_host(target.host)
        return target

    @staticmethod
    def host(text: str) -> str:
        """The host of a URL that was read before."""
        return httpx2.URL(text).raw_host.decode("ascii")

    def check(self, text: str) -> None:
        """`read`, `resolve` and wait; for threads that may block.

        Raises:
            Refused: nothing may be sent there now.
        """
        target = self.read(text)
        try:
            found = self.find(target).result(LOOKUP_SECONDS)
        except (OSError, UnicodeError, TimeoutError):
            raise unknown() from None
        self.checked(found)

    def find(self, target: Target) -> Future[Sequence[str]]:
        """The addresses of a target, unchecked.

        In a thread of its own: a name server that does not answer holds up nobody else, nor the end of the process.
        """
        future: Future[Sequence[str]] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                future.set_result((self._lookup or lookup)(target.host, target.port))
            except Exception as error:  # noqa: BLE001 - handed to who waits
                future.set_exception(error)

        threading.Thread(target=run, name="act-webhook-lookup", daemon=True).start()
        return future

    def checked(self, addresses: Sequence[str]) -> Sequence[str]:
        """The addresses, if all of them are good.

        Raises:
            Refused: there are none, or one of them is not.
        """
        if not addresses:
            raise unknown()
        for address in addresses:
            if fault := address_fault(address, private=self._private):
                raise _blocked(f"its host leads to {fault}")
        return addresses

    def _check_host(self, host: str) -> None:
        if _is_address(host):
            self.checked([host])
            return
        try:
            canonical_host(host)
        except Unreadable as error:
            if not (self._private and _LOCAL_NAME.fullmatch(host)):
                raise _blocked(str(error)) from None


def _is_address(host: str) -> bool:
    """Whether it is an IP address in its usual spelling; every other one is refused as no name."""
    try:
        IPv4Address(host)
    except AddressValueError:
        return ":" in host
    return True


def _blocked(why: str) -> Refused:
    return Refused("address_blocked", f"Nothing can be sent to this URL: {why}.")


def unknown() -> Refused:
    return Refused("host_unknown", "Nothing can be sent to this URL: its host cannot be resolved.")
