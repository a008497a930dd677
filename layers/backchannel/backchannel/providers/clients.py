"""A relying party's registration: its metadata under the names of Dynamic Client Registration, and the checks before storing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backchannel.providers.trust import check_ca_bundle, check_networks
from backchannel.providers.uris import check_uri, refuse
from backchannel.tokens.jws import ALGORITHMS

Subject = Literal["both", "sid_only", "sub_only"]
Typ = Literal["logout+jwt", "JWT"] | None

MAX_EXP = 120
"""Seconds: a logout token should live two minutes at the most (Back-Channel Logout 1.0, section 4)."""

DEADLINE = 86_400
"""Seconds after which a delivery is given up; the last attempt is made at the deadline."""

DEADLINE_MAX = 2 * DEADLINE
"""The latest deadline that a client may have; SQS keeps a message twice as long."""


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
    - ``own_tokens``: whether it trusts a key of this service; if not, it is sent the provider's own tokens alone
    """

    client_id: str
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    id_token_signed_response_alg: str = "RS256"
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    jwks: Mapping[str, Any] | None = field(default=None, hash=False)
    jwks_uri: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"
    subject: Subject = "both"
    typ: Typ = "logout+jwt"
    exp: int = MAX_EXP
    allowed_networks: tuple[str, ...] = ()
    ca_bundle: str | None = None
    give_up_after: int = DEADLINE
    paused: bool = False
    logout_on_expiry: bool = False
    own_tokens: bool = True

    @property
    def needs_sid(self) -> bool:
        """Whether a token without ``sid`` is useless to this RP."""
        return self.backchannel_logout_session_required or self.subject == "sid_only"


def register(client: Client, *, permit_private_networks: bool, permit_loopback: bool = False) -> Client:
    """Return the client as it may be stored. ``permit_loopback``: its ``allowed_networks`` may lead to the function itself.

    Raises:
        RegistrationInvalidError: the specification or this deployment does not permit its metadata.

    """
    from backchannel.providers.encryption import check_encryption  # noqa: PLC0415 - other functions import this module, too

    check_algorithm(client.id_token_signed_response_alg)
    if not client.own_tokens and client.id_token_encrypted_response_alg is not None:
        refuse("own_tokens false contradicts id_token_encrypted_response_alg: what the provider signs is passed on as it is")
    if client.subject == "sub_only" and client.backchannel_logout_session_required:
        refuse("subject sub_only contradicts backchannel_logout_session_required")
    if client.ca_bundle is not None:
        check_ca_bundle(client.ca_bundle)
    check_networks(client.allowed_networks, permit_private_networks=permit_private_networks, permit_loopback=permit_loopback)
    if client.backchannel_logout_uri is not None:
        parts = check_uri("backchannel_logout_uri", client.backchannel_logout_uri, client.allowed_networks)
        if parts.scheme == "http" and client.token_endpoint_auth_method == "none":
            refuse("backchannel_logout_uri of a public client must be https")  # section 2.2
    if client.jwks_uri is not None:
        check_uri("jwks_uri", client.jwks_uri, client.allowed_networks)
    return check_encryption(client)


def check_algorithm(alg: str) -> None:
    """Check ``id_token_signed_response_alg``.

    Raises:
        RegistrationInvalidError: no key of KMS signs it, or nothing does.

    """
    if alg in ALGORITHMS:
        return
    known = ", ".join(ALGORITHMS)
    if alg == "none":
        refuse(f"id_token_signed_response_alg none: a logout token must be signed (Back-Channel Logout 1.0, 2.6); use {known}")
    if alg.startswith("HS"):
        refuse(
            "id_token_signed_response_alg HS256, HS384, HS512: these sign with the client's secret, which this service does not"
            f" have; use {known}"
        )
    refuse(f"id_token_signed_response_alg must be one of {known}")
