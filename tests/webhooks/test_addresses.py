"""Where webhooks may lead. Names are resolved by the test alone: nothing here asks or reaches another machine."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from act.database.clock import SystemClock
from act.database.keyfiles import KeyFiles
from act.webhooks import addresses
from act.webhooks.addresses import Destinations, Refused, address_fault
from act.webhooks.post import Post
from act.webhooks.signing import SigningSecrets
from act.webhooks.webhook import Attempt, Secret, Webhook
from tests.support import Server

from .conftest import Local, deliveries, settled, webhook
from .receiver import Receiver

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"]
PUBLIC += ["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:81b::200e", "64:ff9b::808:808"]

# Allowed only where the operator allows private addresses.
PRIVATE = ["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"]
PRIVATE += ["100.127.255.255", "::1", "fc00::1", "100.100.100.199", "100.100.100.201", "fd00:ec1::1", "fd20:ce::253"]

NEVER = ["0.0.0.0", "0.1.2.3", "169.254.169.254", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.0.1"]
NEVER += ["198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]
# Where clouds give out credentials: Azure, Alibaba, AWS (instances and pods), Google, Oracle.
NEVER += ["168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe"]
NEVER += ["64:ff9b::6464:64c8", "64:ff9b::a83f:8110"]
NEVER += ["::", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "100::1", "2001:db8::1"]
NEVER += ["3fff::1", "5f00::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1"]
NEVER += ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1"]
NEVER += ["64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "64:ff9b::808:808%eth0"]
NEVER += ["2002:7f00:1::", "2002:a00:1::", "2002:808:808::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"]
NEVER += ["", "localhost", "1", "0x7f000001", "017700000001", "127.1", "8.8.8.8 ", "8.8.8.8:80", "example.com"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_good(address: str) -> None:
    assert address_fault(address) is None
    assert address_fault(address, private=True) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_good_only_where_they_are_allowed(address: str) -> None:
    assert address_fault(address) == "a private or loopback address"
    assert address_fault(address, private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_never_are(address: str) -> None:
    assert address_fault(address) is not None
    assert address_fault(address, private=True) is not None


@given(st.ip_addresses())
def test_what_python_knows_as_not_global_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert address_fault(str(address)) is not None or address in ipaddress.ip_network("64:ff9b::/96")


# --- URLs -------------------------------------------------------------------------------------------------------------

LOCAL = [
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://intranet/",
    "https://x.localhost/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://00000127.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://192.168.0.1:8443/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00:ec2::254]/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://ⓛocalhost/",
    "https://%31%32%37.0.0.1/",
    "https://127.0.0.1%00.example.com/",
]
FORM = [
    "",
    "x",
    "http://example.com/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "unix:///var/run/docker.sock",
    "//example.com/",
    "https:///path",
    "https://",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999/",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com/#fragment",
    "https://example.com/a b",
    "https://example.com/\n",
    " https://example.com/",
    "https://exa mple.com/",
    "https://example.com/ü",
    "https://exa_mple..com/",
    "https://-example.com/",
    "https://example.com./",
]


class Names:
    """A resolver that knows what the test says, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("url", LOCAL + FORM)
def test_refused_before_anybody_is_asked_for_a_name(url: str) -> None:
    names = Names(["1.1.1.1"])
    with pytest.raises(Refused) as refused:
        Destinations(lookup=names).check(url)
    assert refused.value.code == "address_blocked"
    assert names.asked == []


@pytest.mark.parametrize(
    "found", [[address] for address in PRIVATE + NEVER] + [["1.1.1.1", "127.0.0.1"], ["1.1.1.1", "::1"]]
)
def test_a_name_with_any_bad_address_is_refused(found: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        Destinations(lookup=Names(found)).check("https://example.com/")
    assert refused.value.code == "address_blocked"
    assert not any(address in str(refused.value) for address in found if address)


def test_good_urls_are_resolved_once() -> None:
    names = Names(["1.1.1.1", "2606:4700::1"])
    destinations = Destinations(lookup=names)
    for url in (
        "https://hooks.example.com",
        "https://hooks.example.com:8443/a?b=c%20d",
        "https://XN--BCHER-KVA.example/",
    ):
        destinations.check(url)
    assert names.asked == [
        ("hooks.example.com", 443),
        ("hooks.example.com", 8443),
        ("xn--bcher-kva.example", 443),
    ]


def test_a_name_that_is_not_there_or_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    for resolver in (nobody, Names([])):
        with pytest.raises(Refused, match="cannot be resolved") as refused:
            Destinations(lookup=resolver).check("https://example.com/")
        assert refused.value.code == "host_unknown"

    gate = threading.Event()
    monkeypatch.setattr(addresses, "LOOKUP_SECONDS", 0.1)
    with pytest.raises(Refused, match="cannot be resolved"):
        Destinations(lookup=lambda *_: gate.wait(5) and ["1.1.1.1"]).check("https://example.com/")
    gate.set()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "http://localhost:9/x", "http://receiver:8080/", "https://10.0.0.1/", "http://[::1]/"],
)
def test_an_operator_may_allow_private_ones(url: str) -> None:
    Destinations(True, Names(["127.0.0.1"])).check(url)
    with pytest.raises(Refused):
        Destinations(False, Names(["127.0.0.1"])).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://100.100.100.200/latest/meta-data/",
        "http://168.63.129.16/machine?comp=goalstate",
        "http://[fd00:ec2::254]/latest/api/token",
        "http://[fd20:ce::254]/",
        "http://[fe80::1]/",
        "http://127.1/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "ftp://localhost/",
        "http://u@localhost/",
    ],
)
def test_and_yet_not_everything(url: str) -> None:
    with pytest.raises(Refused):
        Destinations(True, Names(["127.0.0.1"])).check(url)


# --- the connection goes where the check was --------------------------------------------------------------------------


def poster(folder: Path, destinations: Destinations) -> tuple[Post, Secret]:
    secrets = SigningSecrets(KeyFiles(folder / "keys"))
    return Post(SystemClock(), secrets, destinations), Secret(secrets.make()[0])


def attempted(folder: Path, url: str, destinations: Destinations, tls: ssl.SSLContext | None = None) -> Attempt:
    post, secret = poster(folder, destinations)
    post._tls = tls
    hook = Webhook("whk_1", "t", url, frozenset(), False, True, (secret,))
    return asyncio.run(post.attempt(hook, "whd_1", "{}"))


def test_a_name_that_leads_elsewhere_by_now_leads_nowhere(tmp_path: Path) -> None:
    """DNS rebinding: good when the webhook was made, this machine when the message is sent."""
    with Receiver() as receiver:
        names = Names(["1.1.1.1"], ["127.0.0.1"])
        destinations = Destinations(lookup=names)
        url = f"https://rebinding.example.com:{receiver.port}/"
        destinations.check(url)
        attempt = attempted(tmp_path, url, destinations)
        assert (attempt.status, attempt.error) == (None, "address_blocked")
        assert receiver.messages == []


def test_the_name_is_resolved_once_and_the_connection_goes_to_that_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever asked the system for the name would be told nothing.
    monkeypatch.setattr(addresses, "lookup", lambda *_: pytest.fail("asked the system"))
    with Receiver() as receiver:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        attempt = attempted(tmp_path, f"http://hooks.example.com:{receiver.port}/x", Destinations(True, names))
        assert (attempt.status, attempt.error) == (200, None)
        assert len(names.asked) == 1
        assert receiver.messages[0].headers["host"] == f"hooks.example.com:{receiver.port}"


def test_a_second_address_is_tried_when_nobody_listens_at_the_first(tmp_path: Path) -> None:
    with Receiver() as receiver:
        names = Names(["127.0.0.2", "127.0.0.1"])  # the receiver listens at 127.0.0.1 alone
        attempt = attempted(tmp_path, f"http://hooks.example.com:{receiver.port}/x", Destinations(True, names))
        assert (attempt.status, attempt.error) == (200, None)


def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver, Receiver() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        attempt = attempted(tmp_path, receiver.url, Destinations(True))
        assert attempt.status == 200
        assert (len(receiver.messages), len(proxy.messages)) == (1, 0)


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server with a certificate for `name`, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    day = timedelta(days=1)
    made = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), now - day, now + day
    )
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    certificate = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem, file = serialization.Encoding.PEM, folder / "server.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(secret + certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.decode())


def test_the_certificate_is_that_of_the_name_and_not_of_the_address(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "hooks.example.com")
    seen: list[Any] = []
    server.sni_callback = lambda _socket, name, _context: seen.append(name)
    with Receiver(context=server) as receiver:
        for host, expected in (("hooks.example.com", (200, None)), ("other.example.com", (None, "tls_failed"))):
            url = f"https://{host}:{receiver.port}/"
            attempt = attempted(tmp_path, url, Destinations(True, Names(["127.0.0.1"])), client)
            assert (attempt.status, attempt.error) == expected
        assert seen == ["hooks.example.com", "other.example.com"]
        # And nobody trusts a certificate because it is there.
        url = f"https://hooks.example.com:{receiver.port}/"
        attempt = attempted(tmp_path, url, Destinations(True, Names(["127.0.0.1"])))
        assert (attempt.status, attempt.error) == (None, "tls_failed")
        assert len(receiver.messages) == 1


# --- over the API -----------------------------------------------------------------------------------------------------


def test_a_server_as_it_is_by_default_refuses_what_is_not_public(tmp_path: Path) -> None:
    with Receiver() as receiver, Server(tmp_path) as server:
        api = server.api()
        for url in (receiver.url, f"https://127.0.0.1:{receiver.port}/", "https://localhost/", "https://[::1]/"):
            problem = api.post("/v1/webhooks", {"url": url}, status=422)
            [fault] = problem["errors"]
            assert fault["pointer"] == "/url"
            assert fault["message"].startswith("Nothing can be sent to this URL: ")
        assert api.get("/v1/webhooks")["items"] == []
        assert list((tmp_path / "act.db.keys").glob("whs_*")) == []
        assert receiver.messages == []


def test_what_was_allowed_once_is_checked_at_every_attempt(tmp_path: Path) -> None:
    local = Local(tmp_path)
    with Receiver() as receiver:
        made = webhook(local.api, receiver.url)
        local.stop()
        strict = Local(tmp_path, private=False)
        try:
            strict.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
            [attempt] = settled(strict.api, made["id"])["attempts"]
            assert (attempt["status"], attempt["error"], attempt["answer"]) == (None, "address_blocked", "")
            assert deliveries(strict.api, made["id"])[0]["status"] == "pending"
            assert strict.api.patch(f"/v1/webhooks/{made['id']}", {"url": receiver.url}, status=422)
        finally:
            strict.stop()
        assert receiver.messages == []
