"""Finding the hosts that a text names, in URLs and e-mail addresses.

What a browser, a mail server and a program's own URL parser could read as different hosts is not resolved here but
refused (`Unreadable`): user information, backslashes, percent-escapes and spaces in the host, quoted or commented
addresses, a text that is one URL to one reader and another to the next. Every scan is linear in the text.

Limits, on purpose: a bare host name in running text ("evil.com/path", without a scheme) is not seen, nor is what a
tool would first have to decode (HTML entities, percent-encoding around a whole URL, base64). `hosts_of_field` is for
values that are a host, a URL or a list of addresses and nothing else; there nothing is overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from act.policies.hosts import Unreadable, canonical_host

_AUTHORITY = re.compile(r"[^/?# \t\r\n\\]*")
_WHOLE_AUTHORITY = re.compile(r"[^/?#\\]*")
_HOST_AND_PORT = re.compile(r"([^ :~!$&'()*+,;=\"<>\[\]^`{|}]*)(?::[0-9]{0,5})?")
_SLASHES = re.compile(r"[/\\]{2,}")
_WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*:)?([/\\]*)")
# Browsers read these with any number of slashes and backslashes, also with none.
_SPECIAL = "https?|wss?|ftps?|file"
_SPECIAL_SCHEME = re.compile(rf"(?:{_SPECIAL}):", re.IGNORECASE)
_ODD_SPECIAL = re.compile(
    rf"(?<![A-Za-z0-9+.\-])(?:{_SPECIAL}):(?!//(?!\\))(?:[A-Za-z0-9/\\\[%@]|[^\x00-\x7f])", re.IGNORECASE
)
_DOTTED_SCHEME = re.compile(r"\.[A-Za-z0-9+\-]*:\Z")
_INSIDE_A_WORD = frozenset("/\\.-_~%:?&#+@!$*")
_STRIPPED_BY_BROWSERS = re.compile(r"[\t\r\n]")
_TRIMMED_BY_BROWSERS = "".join(map(chr, range(0x21)))

_AT = re.compile("[@\uff20\ufe6b]")
_ADDRESS_END = re.compile(r"[^\s,;:/?#\\]*")
_AFTER_AT = re.compile(r"\s*((?:[A-Za-z0-9._\-]|[^\s\x00-\x7f])*)")
_LOCAL = frozenset("._%+-!#$&*~^")
_MAILTO = re.compile(r"(?<![A-Za-z0-9+.\-])mailto:([^\s\"<>]*)", re.IGNORECASE)

_CLOSING = ".,;:!)]}'`"  # what may follow a link in running text

_BACKSLASH = "it has a backslash where a slash could be meant"


def names_none(text: str) -> bool:
    """Whether there is surely nothing in a text that `hosts_in` would find, told quickly."""
    return text.isascii() and not ("/" in text or ":" in text or "@" in text or "\\" in text)


def hosts_in(text: str) -> Iterator[str]:
    """The host of every URL and e-mail address in any text, canonical.

    Seen are `scheme://host`, `//host` at the beginning of a word, `mailto:`, and `name@host`. A text that begins with
    a URL is also read as one URL, spaces and line ends included, because that is how a URL parser would take it.

    Raises:
        Unreadable: one of them can be read in two ways.
    """
    if "/" in text or "\\" in text or ":" in text:
        yield from _host_of_whole(text)
        yield from _hosts_of_urls(text)
    if "@" in text or not text.isascii():
        yield from _hosts_of_addresses(text)


def _host_of_whole(text: str) -> Iterator[str]:
    url = _STRIPPED_BY_BROWSERS.sub("", text.strip().strip(_TRIMMED_BY_BROWSERS))
    head = _WHOLE_URL.match(url)
    assert head is not None
    scheme, slashes = head[1], head[2]
    authority = _WHOLE_AUTHORITY.match(url, head.end())
    assert authority is not None
    nothing = authority[0][:1] in ("", " ") and "@" not in authority[0]  # a comment, or a word such as "file: "
    if scheme is None or not _SPECIAL_SCHEME.fullmatch(scheme):
        if len(slashes) < 2 or (scheme is not None and slashes[0] == "\\") or (scheme is None and nothing):
            return
    elif not slashes and nothing:
        return
    if "\\" in slashes:
        raise Unreadable(_BACKSLASH)
    if slashes != "//":
        raise Unreadable("its scheme is not followed by exactly two slashes")
    if url[authority.end() : authority.end() + 1] == "\\":
        raise Unreadable(_BACKSLASH)
    yield _host_of(authority[0], prose=False)


def _hosts_of_urls(text: str) -> Iterator[str]:
    if _ODD_SPECIAL.search(text):
        raise Unreadable("its scheme is not followed by exactly two slashes")
    first_space = text.find(" ")
    for slashes in _SLASHES.finditer(text):
        start, end = slashes.span()
        authority = _AUTHORITY.match(text, end)
        assert authority is not None
        before = text[start - 1 : start]
        if before == ":":
            if slashes[0][0] == "\\":
                continue  # C:\\; after http: it was refused above
            if _DOTTED_SCHEME.search(text, max(0, start - 64), start):
                raise Unreadable("it has a dot before the scheme, which some readers take for the host")
        elif (before and (before.isalnum() or before in _INSIDE_A_WORD)) or not _may_begin_host(text, end):
            continue  # inside a path, or a comment
        elif "\\" in slashes[0] and "." not in authority[0]:  # an escaped backslash, not a server's name
            continue
        if "\\" in slashes[0] or text[authority.end() : authority.end() + 1] == "\\":
            raise Unreadable(_BACKSLASH)
        if end - start > 2:
            raise Unreadable("it names no host")
        yield _host_of(authority[0], prose=0 <= first_space < start)
    for mailto in _MAILTO.finditer(text):
        if mailto[1]:
            yield from _hosts_of_mailto(unquote(mailto[1]))


def _hosts_of_mailto(link: str) -> Iterator[str]:
    addresses, _, headers = link.partition("?")
    if "@" not in link or "%40" in link:
        raise Unreadable("its mailto: has no address that can be read in one way only")
    if addresses := addresses.rstrip(_CLOSING):
        yield from _hosts_of_list(addresses)
    yield from _hosts_of_addresses(headers)


def _may_begin_host(text: str, start: int) -> bool:
    """Whether a host may follow slashes that have no scheme; a comment or a line of slashes has none."""
    after = text[start : start + 1]
    if after and (after.isalnum() or after in "[%@_." or not after.isascii()):
        return True
    authority = _AUTHORITY.match(text, start)
    return authority is not None and ("@" in authority[0] or "." in authority[0])


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
        if "." in domain and domain.rpartition(".")[2][:1].isalpha():
            if before == ")":
                raise Unreadable("its address has a comment before the @")
            yield canonical_host(domain)


def _host_of_address(run: str, text: str, end: int, *, prose: bool) -> str:
    if "@" in run:
        raise Unreadable("its address has more than one @")
    if text[end : end + 1] == "\\":
        raise Unreadable("its address has a backslash")
    if text[end : end + 1] in ("\t", "\r", "\n") and text[end : end + 64].lstrip(_TRIMMED_BY_BROWSERS)[:1] == ".":
        raise Unreadable("its address goes on in the next line")
    return _host_of(run, prose=prose)


# Without "/", "?" and "#", after which a reader of URLs would see a path: evil.example/@example.com.
_ATOMS = r"[A-Za-z0-9!$&'*+=^_`{|}~\-]+(?:\.[A-Za-z0-9!$&'*+=^_`{|}~\-]+)*"
_ADDRESS = re.compile(rf"{_ATOMS}@([^@<>()\[\]\"\s]+)")
_NAMED_ADDRESS = re.compile(rf"(?:\"[^@<>()\\\"]*\" ?|[^@<>()\\\"]*)<{_ATOMS}@([^@<>()\[\]\"\s]+)>")
_FIELD_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//|mailto:", re.IGNORECASE)


def hosts_of_field(text: str) -> Iterator[str]:
    """The hosts of a value that is one host, one URL, or a list of e-mail addresses, and nothing else.

    Raises:
        Unreadable: it is something else, or can be read in two ways.
    """
    if not text.isprintable() or text != text.strip():
        raise Unreadable("it has a space or an invisible character at its ends or inside")
    if "\\" in text:
        raise Unreadable(_BACKSLASH)
    if not text:
        return
    if _FIELD_URL.match(text):
        if " " in text:
            raise Unreadable("it has a space inside")
        if "@" in text and not set(text).isdisjoint(",;<>") and not text.lower().startswith("mailto:"):
            raise Unreadable("it could be one URL or a list of addresses")
        hosts = list(hosts_in(text))
        if not hosts:
            raise Unreadable("it names no host")
        yield from hosts
    elif "@" in text:
        yield from _hosts_of_list(text)
        yield from _hosts_of_urls(text)
    else:
        host = re.split("[/?#]", text, maxsplit=1)[0]
        yield canonical_host(re.sub(r":[0-9]{1,5}\Z", "", host))
        yield from hosts_in(text)


def _hosts_of_list(text: str) -> Iterator[str]:
    for item in re.split("[,;]", text):
        found = _ADDRESS.fullmatch(item.strip(" ")) or _NAMED_ADDRESS.fullmatch(item.strip(" "))
        if found is None:
            raise Unreadable("it is not a plain list of e-mail addresses")
        yield canonical_host(found[1])
