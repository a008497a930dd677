"""A relying party's registration: its metadata under the names of Dynamic Client Registration, and the checks before storing."""

import base64
import ipaddress
import re
import ssl
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from backchannel.aws.dynamodb import key
from backchannel.egress.addresses import is_openable, vet
from backchannel.errors import AddressForbidden, RegistrationInvalidError, shown
from backchannel.tokens.jws import ALGORITHMS

Subject = Literal["both", "sid_only", "sub_only"]
Typ = Literal["logout+jwt", "JWT"] | None

MAX_URI = 2048
MAX_ISSUER_ESCAPED = 1000
"""Characters of an issuer, escaped for a key. Together with any subject, it fits into a partition key of 2048 octets."""

MAX_NETWORKS = 16
MAX_CA_BUNDLE = 32_768
MAX_EXP = 120
"""Seconds: a logout token should live two minutes at the most (Back-Channel Logout 1.0, section 4)."""

DEADLINE = 86_400
"""Seconds after which a delivery is given up; the last attempt is made at the deadline."""

DEADLINE_MAX = 2 * DEADLINE
"""The latest deadline that a client may have; SQS keeps a message twice as long."""

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

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_CERTIFICATES = re.compile(r"\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+")
"""Nothing but certificates: a private key must not be stored, nor shown."""

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+]|[a-z0-9._-]+)(:[0-9]*)?", re.IGNORECASE)
"""A host that egress dials: neither percent-encoded nor with a zone, and no IPvFuture."""

_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Client:
    """One relying party of a provider, and how its logout tokens are made.

    Beside the registered names:

    - ``subject``: which of ``sub`` and ``sid`` its tokens carry
    - ``typ``: the JOSE type of its tokens; None for no ``typ`` at all
    - ``exp``: seconds that a token lives
    - ``allowed_networks``: the private networks that its URI may lead into
    - ``ca_bundle``: certificate authorities of a private PKI, in PEM
    - ``give_up_after``: seconds that its deliveries are tried
    - ``paused``: its deliveries wait
    - ``logout_on_expiry``: whether it is told of sessions that expired
    """

    client_id: str
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    id_token_signed_response_alg: str = "RS256"
    token_endpoint_auth_method: str = "client_secret_basic"
    subject: Subject = "both"
    typ: Typ = "logout+jwt"
    exp: int = MAX_EXP
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None
    give_up_after: int = DEADLINE
    paused: bool = False
    logout_on_expiry: bool = False

    @property
    def needs_sid(self) -> bool:
        """Whether a token without ``sid`` is useless to this RP."""
        return self.backchannel_logout_session_required or self.subject == "sid_only"


def register(
    client: Client, encryption: Mapping[str, Any], *, permit_private_networks: bool, permit_loopback: bool = False
) -> Client:
    """Return the client if it may be stored. ``permit_loopback``: its ``allowed_networks`` may lead to the function itself.

    Raises:
        RegistrationInvalidError: the specification or this deployment does not permit its metadata.

    """
    if any(value is not None for value in encryption.values()):
        _refuse("ID token encryption is not supported, and a client that asks for it must not get a plain logout token")
    if client.id_token_signed_response_alg not in ALGORITHMS:
        _refuse(f"id_token_signed_response_alg must be one of {', '.join(ALGORITHMS)}")
    if client.subject == "sub_only" and client.backchannel_logout_session_required:
        _refuse("subject sub_only contradicts backchannel_logout_session_required")
    if client.ca_bundle is not None:
        _check_ca_bundle(client.ca_bundle)
    if len(client.allowed_networks) > MAX_NETWORKS:
        _refuse(f"at most {MAX_NETWORKS} allowed_networks")
    if client.allowed_networks and not permit_private_networks:
        _refuse("this deployment does not permit allowed_networks")
    for network in client.allowed_networks:
        _check_network(network, permit_loopback=permit_loopback)
    if client.backchannel_logout_uri is not None:
        _check_logout_uri(client, client.backchannel_logout_uri)
    return client


def check_issuer(issuer: str, *, permit_private_networks: bool) -> str:
    """Return ``issuer`` if it is an issuer identifier: https, a host, no query, no fragment (Core, section 2).

    Raises:
        RegistrationInvalidError: it is not. http is for loopback only, and only if the deployment permits private networks.

    """
    parts = _split(issuer, "issuer")
    if parts.query or "?" in issuer:
        _refuse("issuer must not have a query")
    if len(key(issuer)) > MAX_ISSUER_ESCAPED:
        _refuse("issuer has too many of the character %")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and permit_private_networks and _is_loopback(parts.hostname or "")
    ):
        _refuse("issuer must be an https URL")
    return issuer


def _check_logout_uri(client: Client, uri: str) -> None:
    parts = _split(uri, "backchannel_logout_uri")
    host = parts.hostname or ""
    literal = _address(host)
    if literal is None and _NUMERIC_HOST.fullmatch(host.rstrip(".").rsplit(".", 1)[-1]):
        _refuse("backchannel_logout_uri must not write an IPv4 address in numeric or short form")
    if parts.scheme == "http":
        if not client.allowed_networks:
            _refuse("backchannel_logout_uri must be https, unless it leads into allowed_networks")
        if client.token_endpoint_auth_method == "none":
            _refuse("backchannel_logout_uri of a public client must be https")  # section 2.2
    elif parts.scheme != "https":
        _refuse("backchannel_logout_uri must be https")
    if literal is not None:
        try:
            dialled = vet(host, [ipaddress.ip_network(network) for network in client.allowed_networks], public=False)
        except AddressForbidden as error:
            raise RegistrationInvalidError(f"backchannel_logout_uri must name a host: {error}") from error
        if dialled != literal:
            _refuse("backchannel_logout_uri must name a host, not an IPv4 address written as an IPv6 address")


def _split(uri: str, name: str) -> SplitResult:
    """Split an absolute http(s) URI without userinfo and fragment (RFC 3986, section 4.3)."""
    if len(uri) > MAX_URI:
        _refuse(f"{name} must have at most {MAX_URI} characters")
    if found := _NO_URI_CHARACTER.search(uri):
        _refuse(f"{name} {_advice(uri, found[0])}")
    try:
        parts = urlsplit(uri)
        is_absolute = parts.port != 0 and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError as error:
        raise RegistrationInvalidError(f"{name} is not a URI") from error
    if not is_absolute:
        _refuse(f"{name} must be an absolute URI with a host")
    if "@" in parts.netloc:
        _refuse(f"{name} must not have userinfo")
    if not _AUTHORITY.fullmatch(parts.netloc):
        _refuse(f"{name} must have a plain host")
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


def _check_ca_bundle(pem: str) -> None:
    if len(pem) > MAX_CA_BUNDLE:
        _refuse(f"ca_bundle must have at most {MAX_CA_BUNDLE} characters")
    if not _CERTIFICATES.fullmatch(pem):
        _refuse("ca_bundle must be certificates in PEM form and nothing else: no comment, and above all no private key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise RegistrationInvalidError("ca_bundle must be certificates in PEM form") from error
    for block in _BLOCK.findall(pem):
        _check_block(block)


def _check_block(block: str) -> None:
    """Refuse a block with anything behind its certificate: OpenSSL passes over it, and it would be stored and shown."""
    from cryptography import x509  # noqa: PLC0415 - for registration alone; other functions import this module, too
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    try:
        der = base64.b64decode("".join(block.split()), validate=True)
        is_one = x509.load_der_x509_certificate(der).public_bytes(Encoding.DER) == der
    except (ValueError, x509.InvalidVersion):  # no cause: its text may repeat what is in the block
        is_one = False
    if not is_one:
        _refuse("each block of ca_bundle must hold one certificate and nothing else")


def _check_network(text: str, *, permit_loopback: bool) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise RegistrationInvalidError("each of allowed_networks must be a network in CIDR form, such as 10.1.0.0/16") from error
    if not is_openable(network):
        _refuse(f"{network} must not be one of allowed_networks: not all of its addresses are private")
    if network.is_loopback and not permit_loopback:
        _refuse(f"{network} must not be one of allowed_networks: loopback is for local environments alone")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _refuse(why: str) -> None:
    raise RegistrationInvalidError(why)
