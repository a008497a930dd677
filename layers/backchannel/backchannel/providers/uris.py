"""Checks of the URIs in a registration: absolute, of a plain host, and leading only where this service would go."""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from backchannel.aws.dynamodb import key
from backchannel.egress.addresses import vet
from backchannel.errors import AddressForbidden, RegistrationInvalidError, shown

MAX_URI = 2048
MAX_ISSUER_ESCAPED = 1000
"""Characters of an issuer, escaped for a key. Together with any subject, it fits into a partition key of 2048 octets."""

_NO_URI_CHARACTER = re.compile(r"[^A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]")
_HOST = re.compile(r"[a-z]+://(?:[^/?#@]*@)?([^/?#:@\[\]]+)", re.IGNORECASE)
_ADVICE = {
    "#": "must not have a fragment (#...)",
    " ": "must not have a space; in a path or query, write %20",
    "{": "must not have braces; fill the template in, or write %7B and %7D",
    "}": "must not have braces; fill the template in, or write %7B and %7D",
    "\\": "must not have a backslash; write /, or %5C for the character itself",
}
"""What to do about a character that no URI has (RFC 3986, section 2)."""

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+]|[a-z0-9._-]+)(:[0-9]*)?", re.IGNORECASE)
"""A host that egress dials: neither percent-encoded nor with a zone, and no IPvFuture."""

_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


def refuse(why: str) -> NoReturn:
    """Refuse a registration.

    Raises:
        RegistrationInvalidError: in any case.

    """
    raise RegistrationInvalidError(why)


def check_issuer(issuer: str, *, permit_private_networks: bool) -> str:
    """Return ``issuer`` if it is an issuer identifier: https, a host, no query, no fragment (Core, section 2).

    Raises:
        RegistrationInvalidError: it is not. http is for loopback only, and only if the deployment permits private networks.

    """
    parts = _split(issuer, "issuer")
    if parts.query or "?" in issuer:
        refuse("issuer must not have a query")
    if len(key(issuer)) > MAX_ISSUER_ESCAPED:
        refuse("issuer has too many of the character %")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and permit_private_networks and _is_loopback(parts.hostname or "")
    ):
        refuse("issuer must be an https URL")
    return issuer


def check_uri(name: str, uri: str, allowed_networks: Sequence[str]) -> SplitResult:
    """Return the parts of a URI that egress dials: https, or http that leads into ``allowed_networks``.

    Raises:
        RegistrationInvalidError: nothing would be sent there.

    """
    parts = _split(uri, name)
    host = parts.hostname or ""
    literal = _address(host)
    if literal is None and _NUMERIC_HOST.fullmatch(host.rstrip(".").rsplit(".", 1)[-1]):
        refuse(f"{name} must not write an IPv4 address in numeric or short form")
    if parts.scheme == "http" and not allowed_networks:
        refuse(f"{name} must be https, unless it leads into allowed_networks")
    if literal is not None:
        try:
            dialled = vet(host, [ipaddress.ip_network(network) for network in allowed_networks], public=False)
        except AddressForbidden as error:
            raise RegistrationInvalidError(f"{name} must name a host: {error}") from error
        if dialled != literal:
            refuse(f"{name} must name a host, not an IPv4 address written as an IPv6 address")
    return parts


def leads_to_loopback(name: str, uri: str) -> bool:
    """Whether a URI is one of this very machine.

    Raises:
        RegistrationInvalidError: it is not a URI.

    """
    return _is_loopback(_split(uri, name).hostname or "")


def _split(uri: str, name: str) -> SplitResult:
    """Split an absolute http(s) URI without userinfo and fragment (RFC 3986, section 4.3)."""
    if len(uri) > MAX_URI:
        refuse(f"{name} must have at most {MAX_URI} characters")
    if found := _NO_URI_CHARACTER.search(uri):
        refuse(f"{name} {_advice(uri, found[0])}")
    try:
        parts = urlsplit(uri)
        is_absolute = parts.port != 0 and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError as error:
        raise RegistrationInvalidError(f"{name} is not a URI") from error
    if not is_absolute:
        refuse(f"{name} must be an absolute URI with a host")
    if "@" in parts.netloc:
        refuse(f"{name} must not have userinfo")
    if not _AUTHORITY.fullmatch(parts.netloc):
        refuse(f"{name} must have a plain host")
    return parts


def _advice(uri: str, character: str) -> str:
    """Say how to write a URI without a character that no URI has."""
    host = _HOST.match(uri)
    if host is not None and not host[1].isascii():
        return f"must have its host in ASCII form, such as {shown(_punycode(host[1]))}"
    return _ADVICE.get(character, f"must not have the character {character!a}; write its UTF-8 octets percent-encoded")


def _punycode(host: str) -> str:
    """Return the ASCII form of a host (RFC 5891, section 4.4)."""
    labels = unicodedata.normalize("NFC", host.lower()).split(".")
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback
