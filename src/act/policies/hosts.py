"""Host names that can be read in one way only, and finding them in texts.

What a browser, a mail server and a program's own URL parser could read as different hosts is not resolved here but
refused (`Unreadable`): user information, backslashes, percent-escapes, control characters, IP addresses in any
spelling, trailing dots, characters that some readers map to others. Every scan is linear in the text.

Limits, on purpose: a bare host name in running text ("evil.com/path", without a scheme) is not seen, nor is what a
tool would first have to decode (HTML entities, percent-encoding around a whole URL, base64). `hosts_of_field` is for
values that are a host, a URL or a list of addresses and nothing else; there nothing is overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

import idna

MAX_HOST = 253


class Unreadable(ValueError):
    """A text that could lead to more than one host, or to none that has a domain; the message says why."""


_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")  # IDNA 2003 and 2008 make different names of them


def canonical_host(written: str) -> str:
    """The host in lower case and in ASCII (`xn--` for other scripts).

    Raises:
        Unreadable: not a domain name of two labels or more, or one that can be read in two ways.
    """
    if not written:
        raise Unreadable("it names no host")
    if written[0] == "[":
        raise Unreadable("an IP address is in no domain")
    if len(written) > MAX_HOST:
        raise Unreadable(f"its host has more than {MAX_HOST} characters")
    host = written.translate(_LOWER)
    if not host.isascii():
        host = _ascii_form(host)
    if host.endswith("."):
        raise Unreadable("its host ends with a dot")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise Unreadable("an IP address is in no domain")
    if not all(_LABEL.fullmatch(label) and (label[:4] != "xn--" or _is_a_label(label)) for label in labels):
        raise Unreadable("its host is not a domain name in plain form")
    if len(labels) == 1 or labels[-1] == "localhost" or len(host) > MAX_HOST:
        raise Unreadable("its host is a local name, not a domain name")
    return host


def _ascii_form(host: str) -> str:
    try:
        if _DEVIATIONS.isdisjoint(host) and idna.uts46_remap(host, std3_rules=True, transitional=False) == host:
            return idna.encode(host, strict=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # also idna.IDNAError
        pass
    raise Unreadable("its host has characters that can be read in two ways")


def _is_a_label(label: str) -> bool:
    try:
        return idna.alabel(idna.ulabel(label)) == label.encode("ascii")
    except UnicodeError:
        return False


_AUTHORITY = re.compile(r"[^/?# \t\r\n\\]*")
_HOST_AND_PORT = re.compile(r"([^:~!$&'()*+,;=\"<>\[\]^`{|}]*)(?::[0-9]{0,5})?")
_SLASHES = re.compile(r"[/\\]{2,}")
_SPECIAL = "https?|wss?|ftps?|file"  # browsers read these with any number of slashes, also none, of either kind
_ENDS_IN_SPECIAL = re.compile(rf"(?:^|[^A-Za-z0-9+.\-])(?:{_SPECIAL}):", re.IGNORECASE)
_ODD_SPECIAL = re.compile(
    rf"(?<![A-Za-z0-9+.\-])(?:{_SPECIAL}):(?!//)(?:[A-Za-z0-9/\\\[%@]|[^\x00-\x7f])", re.IGNORECASE
)
_URL_HEAD = re.compile(rf"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?[/\\]{{2}}|(?:{_SPECIAL}):", re.IGNORECASE)
_INSIDE_A_WORD = frozenset("/\\.-_~%:?&#+@!$*")
_STRIPPED_BY_BROWSERS = re.compile(r"[\t\r\n]")
_AROUND = "".join(map(chr, range(0x21)))

_AT = re.compile("[@\uff20\ufe6b]")
_ADDRESS_END = re.compile(r"[^\s,;:/?#\\]*")
_AFTER_AT = re.compile(r"\s*((?:[A-Za-z0-9._\-]|[^\s\x00-\x7f])*)")
_LOCAL = frozenset("._%+-!#$&*~^")
_MAILTO = re.compile(r"(?<![A-Za-z0-9+.\-])mailto:([^\s\"<>]*)", re.IGNORECASE)


def hosts_in(text: str) -> Iterator[str]:
    """The host of every URL and e-mail address in any text, canonical.

    Seen are `scheme://host`, `//host` at the beginning of a word, `mailto:`, and `name@host`.

    Raises:
        Unreadable: one of them can be read in two ways.
    """
    if "//" in text or "\\" in text or ":" in text:
        yield from _hosts_of_urls(text)
        if _STRIPPED_BY_BROWSERS.search(text):
            # A URL parser that gets the whole text drops these characters first, wherever they stand.
            joined = _STRIPPED_BY_BROWSERS.sub("", text).strip(_AROUND)
            if _URL_HEAD.match(joined):
                yield from _hosts_of_urls(joined.partition(" ")[0])
    yield from _hosts_of_addresses(text)


def _hosts_of_urls(text: str) -> Iterator[str]:
    if _ODD_SPECIAL.search(text):
        raise Unreadable("its scheme is not followed by exactly two slashes")
    first_space = text.find(" ")
    for slashes in _SLASHES.finditer(text):
        start, end = slashes.span()
        if not _begins_authority(text, start, end):
            continue
        if "\\" in slashes[0]:
            raise Unreadable("it has a backslash where a slash could be meant")
        if end - start > 2:
            raise Unreadable("it names no host")
        authority = _AUTHORITY.match(text, end)
        assert authority is not None
        if text[authority.end() : authority.end() + 1] == "\\":
            raise Unreadable("it has a backslash where a slash could be meant")
        yield _host_of(authority[0], prose=0 <= first_space < start)
    for mailto in _MAILTO.finditer(text):
        if mailto[1]:
            decoded = unquote(mailto[1])
            if "@" not in decoded or "%40" in decoded:
                raise Unreadable("its mailto: has no address that can be read in one way only")
            yield from _hosts_of_addresses(decoded)


def _begins_authority(text: str, start: int, end: int) -> bool:
    """Whether the run of slashes or backslashes `text[start:end]` is what stands before a host."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before == ":":
        return "\\" not in text[start:end] or bool(_ENDS_IN_SPECIAL.search(text, max(0, start - 8), start))
    if before and (before.isalnum() or before in _INSIDE_A_WORD):
        return False
    if not after or (after.isascii() and not after.isalnum() and after not in "[%@_."):
        return False  # a comment, a line of slashes
    if "\\" in text[start:end] and start > 0:
        run = _AUTHORITY.match(text, end)
        return run is not None and "." in run[0]
    return True


def _host_of(authority: str, *, prose: bool) -> str:
    """The host of an authority, which in `prose` may be followed by closing punctuation.

    The text goes on until a slash or a space. Where some readers would stop earlier, at a quote or a bracket, what
    follows it must not be able to complete another domain name.
    """
    if "@" in authority:
        raise Unreadable("it has user information before the host")
    if "%" in authority:
        raise Unreadable("it has a percent-escape in the host")
    if prose:
        authority = authority.removesuffix(".")
    found = _HOST_AND_PORT.match(authority)
    assert found is not None
    rest = authority[found.end() :]
    if rest and found[1] and (rest[0].isalnum() or "." in rest or not rest.isascii()):
        raise Unreadable("its host could end in two places")
    return canonical_host(found[1] or rest)


def _hosts_of_addresses(text: str) -> Iterator[str]:
    first_space = text.find(" ")
    for at in _AT.finditer(text):
        start, end = at.span()
        prose = 0 <= first_space < start
        before, after = text[start - 1 : start], text[end : end + 1]
        local = bool(before) and (
            before.isalnum() or before in _LOCAL or (not before.isascii() and not before.isspace())
        )
        if at[0] != "@" and local and after and not after.isspace():
            raise Unreadable("it has a sign that some readers take for @")
        if before == '"' and start >= 2 and text[start - 2] not in " \t\r\n,[{(:=":
            raise Unreadable("its address has a quoted name before the @")
        if local and after and not after.isspace():
            run = _ADDRESS_END.match(text, end)
            assert run is not None
            yield _host_of_address(run[0], text, run.end(), prose=prose)
            continue
        # "name @host", "name@ host", "(comment)name)@host": mail readers drop the space; "@someone" names nobody.
        found = _AFTER_AT.match(text, end)
        domain = found[1].removesuffix(".") if found else ""
        if "." in domain and domain.rpartition(".")[2].isalpha():
            if before == ")":
                raise Unreadable("its address has a comment before the @")
            yield canonical_host(domain)


def _host_of_address(run: str, text: str, end: int, *, prose: bool) -> str:
    if "@" in run:
        raise Unreadable("its address has more than one @")
    if text[end : end + 1] == "\\":
        raise Unreadable("its address has a backslash")
    if _STRIPPED_BY_BROWSERS.match(text, end) and text[end:].lstrip(_AROUND)[:1] == ".":
        raise Unreadable("its address goes on in the next line")
    return _host_of(run, prose=prose)


_ATOMS = r"[A-Za-z0-9!#$&'*+/=?^_`{|}~\-]+(?:\.[A-Za-z0-9!#$&'*+/=?^_`{|}~\-]+)*"
_ADDRESS = re.compile(rf"{_ATOMS}@([^@<>()\[\]\"\s]+)")
_NAMED_ADDRESS = re.compile(rf"(?:\"[^@<>()\\\"]*\"|[^@<>()\\\"]*)<{_ATOMS}@([^@<>()\[\]\"\s]+)>")
_WHOLE_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//|mailto:", re.IGNORECASE)


def hosts_of_field(text: str) -> Iterator[str]:
    """The hosts of a value that is one host, one URL, or a list of e-mail addresses, and nothing else.

    Raises:
        Unreadable: it is something else, or can be read in two ways.
    """
    if not text.isprintable() or text != text.strip():
        raise Unreadable("it has a space or an invisible character at its ends or inside")
    if not text:
        return
    if _WHOLE_URL.match(text):
        if " " in text:
            raise Unreadable("it has a space inside")
        yield from hosts_in(text)
    elif "@" in text:
        for item in re.split("[,;]", text):
            found = _ADDRESS.fullmatch(item.strip(" ")) or _NAMED_ADDRESS.fullmatch(item.strip(" "))
            if found is None:
                raise Unreadable("it is not a plain list of e-mail addresses")
            yield canonical_host(found[1])
    else:
        host = re.split("[/?#]", text, maxsplit=1)[0]
        yield canonical_host(re.sub(r":[0-9]{1,5}\Z", "", host))
        yield from hosts_in(text)
