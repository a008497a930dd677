"""What a registration lets egress trust beyond the public: private networks, certificate authorities of a private PKI."""

import base64
import ipaddress
import re
import ssl
from collections.abc import Sequence

from backchannel.egress.addresses import is_openable
from backchannel.errors import RegistrationInvalidError
from backchannel.providers.uris import refuse

MAX_NETWORKS = 16
MAX_CA_BUNDLE = 32_768

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_CERTIFICATES = re.compile(r"\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+")
"""Nothing but certificates: a private key must not be stored, nor shown."""


def check_networks(networks: Sequence[str], *, permit_private_networks: bool, permit_loopback: bool) -> None:
    """Check ``allowed_networks``. ``permit_loopback``: they may lead to the function itself.

    Raises:
        RegistrationInvalidError: this deployment permits none, or one of them is not private.

    """
    if len(networks) > MAX_NETWORKS:
        refuse(f"at most {MAX_NETWORKS} allowed_networks")
    if networks and not permit_private_networks:
        refuse("this deployment does not permit allowed_networks")
    for network in networks:
        _check_network(network, permit_loopback=permit_loopback)


def check_ca_bundle(pem: str) -> None:
    """Check certificate authorities of a private PKI.

    Raises:
        RegistrationInvalidError: it is not certificates in PEM form alone.

    """
    if len(pem) > MAX_CA_BUNDLE:
        refuse(f"ca_bundle must have at most {MAX_CA_BUNDLE} characters")
    if not _CERTIFICATES.fullmatch(pem):
        refuse("ca_bundle must be certificates in PEM form and nothing else: no comment, and above all no private key")
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
        refuse("each block of ca_bundle must hold one certificate and nothing else")


def _check_network(text: str, *, permit_loopback: bool) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise RegistrationInvalidError("each of allowed_networks must be a network in CIDR form, such as 10.1.0.0/16") from error
    if not is_openable(network):
        refuse(f"{network} must not be one of allowed_networks: not all of its addresses are private")
    if network.is_loopback and not permit_loopback:
        refuse(f"{network} must not be one of allowed_networks: loopback is for local environments alone")
