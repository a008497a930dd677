"""The bodies of requests. A member that is not described here is refused: a misspelt one must not be ignored in silence."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from backchannel.deliveries.outcomes import Status
from backchannel.providers.clients import DEADLINE_MAX, Client, Subject, Typ
from backchannel.providers.encryption import DEFAULT_ENC
from backchannel.reasons import Cause, Reason
from backchannel.sessions.events import MAX_IDENTIFIER

MAX_SECRET = 1024
"""Characters of a webhook secret; two of them, escaped as JSON, fit into a secret of Secrets Manager."""

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER)]

_DEFAULT = Client(client_id="")
"""A client of which only the id was given: its other members are the defaults."""

_READ_ONLY = "read-only: may be left out, or given as GET shows it"
_MEASURED = "measured, and ignored here: PUT takes what GET shows"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UpstreamMetadata(_Request):
    """Where the provider itself publishes its discovery document, its JWKS or both."""

    discovery: Annotated[str | None, Field(description="the URL of its discovery document")] = None
    jwks_uri: Annotated[str | None, Field(description="if left out, the one that its discovery document names")] = None
    allowed_networks: Annotated[list[str], Field(description="private networks these URLs may lead into")] = []
    ca_bundle: Annotated[str | None, Field(description="PEM certificates of a private PKI")] = None


class ProviderMetadata(_Request):
    """An OpenID Provider."""

    issuer: Annotated[str, Field(max_length=512, description="exactly as in the provider's ID tokens")]
    session_lifetime: Annotated[
        int | None, Field(ge=60, le=31_536_000, description="seconds after which sessions end by themselves")
    ] = None
    key_rotation_days: Annotated[
        int | None,
        Field(
            ge=1,
            le=3650,
            description="days after which a signing key is followed by another; if left out, that happens on request alone, as it"
            " should where relying parties were given the keys by hand",
        ),
    ] = None
    upstream: Annotated[
        UpstreamMetadata | None, Field(description="the keys and the metadata that are published together with ours")
    ] = None
    recipients: Annotated[
        Literal["sessions", "all_clients"],
        Field(description="who is told of an end: the clients with an RP session, or all; all_clients needs no starts"),
    ] = "sessions"
    provider: Annotated[str | None, Field(description=_READ_ONLY)] = None


class SourceMetadata(_Request):
    """One configured webhook sender."""

    format: Literal[
        "logout-token",
        "standard-webhooks",
        "bearer",
        "signed-jwt",
        "keycloak",
        "keycloak-jwt",
        "okta",
        "okta-universal-logout",
        "auth0",
        "auth0-eventbridge",
        "zitadel",
        "workos",
        "clerk",
        "logto",
        "fusionauth",
        "hanko",
        "pingone",
        "security-event-token",
        "cognito",
    ]
    secret: Annotated[
        SecretStr | None,
        Field(
            max_length=MAX_SECRET,
            description="not for formats that keys of a JWKS or AWS IAM prove; whpk_… is a public key. Left out, the"
            " stored secrets are kept if the format stays as it is",
        ),
    ] = None
    previous_secret: Annotated[
        SecretStr | None,
        Field(max_length=MAX_SECRET, description="still accepted while the sender changes over; comes with secret"),
    ] = None
    sid_trust: Annotated[
        Literal["claim", "sha256", "none"],
        Field(description="whether session ids are the sid of ID tokens; clerk, hanko and workos must be told"),
    ] = "claim"
    unmatched_sid: Annotated[
        Literal["report", "end_subject"],
        Field(description="what the end of an unknown session means if it names a sub: nothing, or the end of all its sessions"),
    ] = "report"
    ends_sessions: Annotated[
        list[Reason | Cause] | None,
        Field(description="which ends end sessions; others are ignored and counted. By default what the format says"),
    ] = None
    require_iss: Annotated[
        bool, Field(description="whether every event must name its issuer in data.iss (standard-webhooks)")
    ] = False
    algorithm: Annotated[
        str | None, Field(max_length=40, description="what the realm's webhook signs with (keycloak): HmacSHA256 alone")
    ] = None
    realm: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            description="the realm that every event must name (keycloak); by default that of the issuer, if the event names one",
        ),
    ] = None
    audience: Annotated[
        Identifier | None,
        Field(
            description="the aud that its tokens must name (signed-jwt, keycloak-jwt, okta-universal-logout, hanko,"
            " security-event-token); or the one client whose tokens stand for all clients; if left out, each client has its own"
            " (logout-token)"
        ),
    ] = None
    token_issuer: Annotated[
        str | None, Field(min_length=1, max_length=512, description="the iss of its tokens; by default the provider's issuer")
    ] = None
    jwks_uri: Annotated[
        str | None, Field(description="where its tokens' keys are; by default where the provider's upstream says")
    ] = None
    allowed_networks: Annotated[list[str], Field(description="private networks that jwks_uri may lead into")] = []
    ca_bundle: Annotated[str | None, Field(description="PEM certificates of a private PKI")] = None
    pass_on: Annotated[
        bool, Field(description="whether clients are sent the provider's own token, as it is, while it is valid (logout-token)")
    ] = False
    tolerate_missing_exp: Annotated[bool, Field(description="whether tokens without exp are accepted (logout-token)")] = False
    max_lifetime: Annotated[
        int | None,
        Field(ge=60, le=DEADLINE_MAX, description="seconds that a token may live; 3600 if left out (logout-token)"),
    ] = None
    tolerate_typ: Annotated[
        bool, Field(description="whether tokens may have another typ than secevent+jwt (security-event-token)")
    ] = False
    email_is_sub: Annotated[bool, Field(description="whether the sub of ID tokens is the user's e-mail address")] = False
    ends_at: Annotated[
        Literal["client", "user"],
        Field(description="where the sessions end that a user has at one client: there, or everywhere (okta-universal-logout)"),
    ] = "client"
    subject_issuers: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=512)]],
        Field(max_length=20, description="other issuers whose sub is that of the provider's ID tokens (security-event-token)"),
    ] = []
    widen_subjects: Annotated[
        bool,
        Field(description="whether what is told of a user at one device, application or group is for all sessions of the user"),
    ] = False
    unnamed_session: Annotated[
        Literal["report", "end_subject"] | None,
        Field(
            description="what session-revoked means that names a user alone: nothing, or the end of all sessions of the user. By"
            " default the latter, as CAEP 1.0 has it, but nothing where the event names its user as in drafts (Okta)"
        ),
    ] = None
    verification_state: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="the state that its stream is verified with")
    ] = None
    expected_interval: Annotated[
        int | None, Field(ge=300, le=31_536_000, description="seconds without an accepted webhook that raise an alarm")
    ] = None
    source: Annotated[str | None, Field(description=_READ_ONLY)] = None
    activity: Annotated[dict[str, Any] | None, Field(description=_MEASURED)] = None


class PreviewRequest(_Request):
    """A payload as its sender would send it; of a signed token, its claims."""

    payload: Annotated[dict[str, Any] | list[Any], Field(description="an array where the sender sends one (auth0, pingone)")]
    event_id: Annotated[
        str, Field(min_length=1, max_length=MAX_IDENTIFIER, description="where it does not come in the payload")
    ] = "preview"


class ClientMetadata(_Request):
    """A relying party under the names of Dynamic Client Registration."""

    backchannel_logout_uri: str | None = _DEFAULT.backchannel_logout_uri
    backchannel_logout_session_required: bool = _DEFAULT.backchannel_logout_session_required
    id_token_signed_response_alg: str = _DEFAULT.id_token_signed_response_alg
    id_token_encrypted_response_alg: Annotated[
        str | None, Field(description="its tokens are encrypted, too; needs jwks or jwks_uri")
    ] = _DEFAULT.id_token_encrypted_response_alg
    id_token_encrypted_response_enc: Annotated[str | None, Field(description=f"with an alg, {DEFAULT_ENC} if left out")] = (
        _DEFAULT.id_token_encrypted_response_enc
    )
    jwks: Annotated[
        dict[str, Any] | None, Field(description="its public keys as a JWK Set; other members than those of a key are dropped")
    ] = None
    jwks_uri: Annotated[str | None, Field(description="where its JWK Set is, instead of jwks")] = _DEFAULT.jwks_uri
    token_endpoint_auth_method: Annotated[str, Field(max_length=64)] = _DEFAULT.token_endpoint_auth_method
    subject: Annotated[Subject, Field(description="which of sub and sid its tokens carry")] = _DEFAULT.subject
    typ: Annotated[Typ, Field(description="null for no typ at all")] = _DEFAULT.typ
    exp: Annotated[int, Field(ge=10, le=120, description="seconds that a token lives")] = _DEFAULT.exp
    allowed_networks: Annotated[list[str], Field(description="private networks its URI may lead into")] = [
        *_DEFAULT.allowed_networks
    ]
    ca_bundle: Annotated[str | None, Field(description="PEM certificates of a private PKI")] = _DEFAULT.ca_bundle
    give_up_after: Annotated[int, Field(ge=60, le=DEADLINE_MAX, description="seconds that its deliveries are tried")] = (
        _DEFAULT.give_up_after
    )
    paused: Annotated[bool, Field(description="its deliveries wait, however long, until it is resumed")] = _DEFAULT.paused
    logout_reasons: Annotated[list[Reason], Field(description="it is told of sessions that ended for these reasons")] = [
        *_DEFAULT.logout_reasons
    ]
    own_tokens: Annotated[
        bool, Field(description="whether it trusts our keys; if not, only the provider's own tokens are passed on to it")
    ] = _DEFAULT.own_tokens
    client_id: Annotated[str | None, Field(description=_READ_ONLY)] = None
    paused_by: Annotated[str | None, Field(description=_READ_ONLY)] = None
    paused_at: Annotated[AwareDatetime | None, Field(description=_READ_ONLY)] = None
    resumed_by: Annotated[str | None, Field(description=_READ_ONLY)] = None
    resumed_at: Annotated[AwareDatetime | None, Field(description=_READ_ONLY)] = None
    circuit: Annotated[dict[str, Any] | None, Field(description=_MEASURED)] = None


class RpSessionStart(_Request):
    """An RP session started."""

    sub: Identifier
    client_id: Identifier
    sid: Identifier | None = None
    client_sub: Annotated[Identifier | None, Field(description="the subject as this client knows it")] = None
    started_at: Annotated[
        AwareDatetime | None, Field(description="if left out, whatever ended its session has ended this login, too")
    ] = None
    expires_at: Annotated[AwareDatetime | None, Field(description="when the session ends by itself")] = None


class LogoutRequest(_Request):
    """What ended: one session (``sid``) or all sessions of a subject (``sub``), with ``client_id`` at one client only."""

    sid: Identifier | None = None
    sub: Identifier | None = None
    client_id: Identifier | None = None
    reason: Annotated[
        str | None,
        Field(
            max_length=100,
            description="a word of ours (logout, compromised ...); any other text is kept as the note of an admin_logout",
        ),
    ] = None


class ClientTestRequest(_Request):
    """Nothing: whom the token names is made up, and how it is made is registered."""


class LogoutRedeliveryRequest(_Request):
    """Which of a logout's deliveries to send again."""

    statuses: Annotated[
        list[Status] | None, Field(description="those with these; if left out, all that are final and not accepted", min_length=1)
    ] = None
    now: Annotated[bool, Field(description="whether deliveries that wait for their next attempt are attempted at once")] = False


class ClientRedeliveryRequest(LogoutRedeliveryRequest):
    """Which of a client's deliveries to send again: those that came to their status in this time."""

    since: AwareDatetime
    until: Annotated[AwareDatetime | None, Field(description="now, if left out or later")] = None


class KeyRotationRequest(_Request):
    """Which keys are to be followed by others."""

    alg: Annotated[str | None, Field(description="the keys of this algorithm; if left out, all that sign")] = None
    kid: Annotated[str | None, Field(max_length=1024, description="the key to withdraw in an emergency")] = None
    emergency: Annotated[
        bool, Field(description="withdraw kid at once: relying parties refuse its successor until they read the keys again")
    ] = False


class OwnKeyMetadata(_Request):
    """A KMS key of the provider's own, of this account or another."""

    kms_key_arn: Annotated[str, Field(pattern=r"^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$")]


def milliseconds(time: datetime) -> int:
    """Return a time of a request in milliseconds since the epoch."""
    return round(time.timestamp() * 1000)
