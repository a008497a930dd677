"""A webhook's request, what of it is proven, and what its format reads from that."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeGuard

from backchannel.errors import ContentEncodingUnsupportedError, MalformedRequestError, PayloadTooLargeError
from backchannel.sessions.events import EARLIEST, SessionEvent
from backchannel.strict_json import read

MAX_BODY = 4_194_304
"""Octets of the largest body of any format: below what API Gateway hands to a function, also in base64."""

_FORM = "application/x-www-form-urlencoded"
_SET = "application/secevent+jwt"

type SidTrust = Literal["claim", "sha256", "none"]
type UnmatchedSid = Literal["report", "end_subject"]
type EndsAt = Literal["client", "user"]
type UnnamedSession = Literal["report", "end_subject"]


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came: the raw octets of its body, and its headers under lower-case names.

    The values of a header that came more than once are joined by commas (RFC 9110, section 5.3).
    """

    body: bytes
    headers: Mapping[str, str]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read an API Gateway proxy event; some bodies come in base64.

        Raises:
            PayloadTooLargeError: the body is larger than that of any webhook we know.
            ContentEncodingUnsupportedError: it is compressed.

        """
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        headers |= {name.lower(): ", ".join(values) for name, values in (event.get("multiValueHeaders") or {}).items()}
        if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
            raise ContentEncodingUnsupportedError("the body must not be compressed")
        body = event.get("body") or ""
        octets = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(errors="surrogatepass")
        if len(octets) > MAX_BODY:
            raise PayloadTooLargeError(f"the body is larger than {MAX_BODY} octets")
        return cls(octets, headers)


@dataclass(frozen=True, slots=True)
class Trust:
    """What a sender of a source is verified by; each format uses what its scheme needs.

    ``verified_jwt`` returns ``typ`` and claims of a token that a key of the sender's JWKS has signed, or raises
    SignatureInvalidError. The claims must name ``issuer`` and ``audience``. ``max_lifetime`` of a token in seconds, None for the
    default of its format. ``has_secret``: the source has a secret beside the sender's keys, so both must hold.
    """

    secrets: Callable[[], Sequence[str]]
    verified_jwt: Callable[[str], tuple[str | None, Mapping[str, Any]]]
    issuer: str
    audience: str | None = None
    tolerate_missing_exp: bool = False
    max_lifetime: int | None = None
    tolerate_typ: bool = False
    has_secret: bool = False


@dataclass(frozen=True, slots=True)
class Proven:
    """What a sender has proven to have sent: the octets of its event, and the event's id if that was signed beside them."""

    body: bytes
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry of a batch that is not valid: where it stands, and the error's code. Nothing of the entry is repeated."""

    index: int
    code: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The session events of a webhook, and how many of its events were ignored, since they are of no interest.

    ``unmappable`` are of interest, but they name nobody. ``unknown_reasons`` is how many ends gave a reason that is none of ours.
    ``not_chosen`` are those of the ignored ones that the source's policy leaves out, by its words. ``refused`` are the entries of
    a batch that are not valid. ``stopped``: the sender says that it sends no more, and why.
    """

    events: tuple[SessionEvent, ...] = ()
    ignored: int = 0
    unknown_reasons: int = 0
    unmappable: int = 0
    not_chosen: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    stopped: tuple[str, ...] = ()


IGNORED = Parsed(ignored=1)
UNMAPPABLE = Parsed(unmappable=1)


@dataclass(frozen=True, slots=True)
class Context:
    """What a format needs to know beside the body: issuer, the source's settings, ``now`` in milliseconds since the epoch.

    ``stands_for_all``: what comes is for one client, and means all of them. ``email_is_sub``: the ``sub`` of ID tokens is the
    user's e-mail address. ``subject_issuers``: other issuers whose ``sub`` is the provider's. ``widen_subjects``: what is told of
    a part of a user's sessions means all of them. ``unnamed_session``: whether so does the end of a session that is not named,
    None for what its format says. ``ends_at``: whether what is told for one client ends the user's sessions there, or
    everywhere.
    """

    issuer: str
    sid_trust: SidTrust
    now: int
    unmatched_sid: UnmatchedSid = "report"
    require_iss: bool = False
    realm: str | None = None
    stands_for_all: bool = False
    token_issuer: str | None = None
    email_is_sub: bool = False
    ends_at: EndsAt = "client"
    subject_issuers: tuple[str, ...] = ()
    widen_subjects: bool = False
    unnamed_session: UnnamedSession | None = None
    verification_state: str | None = None


def is_form(request: Request) -> bool:
    """Whether a request comes as logout tokens do (section 2.5). JSON does not, even if its sender's library calls it a form."""
    return _media_type(request) == _FORM and request.body.lstrip()[:1] not in {b"{", b"["}


def is_security_event_token(request: Request) -> bool:
    """Whether a request comes as Security Event Tokens do (RFC 8935, section 2.1)."""
    return _media_type(request) == _SET


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_numeric_date(value: object) -> TypeGuard[float]:
    """Whether a claim is a NumericDate (RFC 7519, section 2), in seconds: it may have a fraction, but no 400 digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < EARLIEST


def json_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises:
        MalformedRequestError: it is not.

    """
    try:
        document = read(body)
    except ValueError as error:
        raise MalformedRequestError("the body is not JSON that every reader reads alike, or nested too deeply") from error
    if not isinstance(document, dict):
        raise MalformedRequestError("the body is not a JSON object")
    return document


def member(document: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a member that must be there and of its kind.

    Raises:
        MalformedRequestError: it is not.

    """
    value = document.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedRequestError(f"{name} is missing or of another type")
    return value
