"""``security-event-token``: what transmitters of the Shared Signals Framework push (SSF, CAEP, RISC 1.0; RFC 8417, 8935). Pure.

A SET says that one event happened to one subject. ``subjects`` says who that is.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from backchannel.errors import (
    AudienceMismatchError,
    IssuerMismatchError,
    SecurityEventTokenInvalidError,
    SignatureInvalidError,
)
from backchannel.reasons import POLICIES, Cause, Reason
from backchannel.sessions.events import MAX_CLOCK_DIFFERENCE, Ended, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import static_header
from backchannel.webhooks.event_streams import OF_STREAMS
from backchannel.webhooks.format import EVENTS, JWKS, Format
from backchannel.webhooks.request import (
    IGNORED,
    UNMAPPABLE,
    Context,
    Parsed,
    Proven,
    Request,
    Trust,
    is_numeric_date,
    is_security_event_token,
    json_object,
)
from backchannel.webhooks.sids import end_of_session
from backchannel.webhooks.subjects import named_subject

SECURITY_EVENT_TOKEN = "security-event-token"

MAX_AGE = 604_800
"""Seconds since ``iat``: transmitters try for days. A SET has no ``exp``, and one that comes again ends nothing that is newer."""

_TYP = re.compile(r"(application/)?secevent\+jwt", re.IGNORECASE)
_MILLISECONDS = 100_000_000_000
"""A later time than this is not in seconds, which would be the year 5138. Okta sends milliseconds."""

_NO_TIME = 10**18
"""Numbers that are no time in either unit."""

_REST_OF_SECOND = 999
"""Milliseconds."""

_CAEP, _RISC, _OAUTH = (f"https://schemas.openid.net/secevent/{of}/event-type/" for of in ("caep", "risc", "oauth"))

type _Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a type of events means. ``is_of_session``: it is about one session, although it may name a user alone."""

    reason: Callable[[_Event], Reason]
    cause: Cause | None = None
    is_of_session: bool = False


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a SET says beside its event: about whom, when in seconds, and under which id."""

    about: object
    issued_at: float
    jti: str


def verify(request: Request, trust: Trust, now: int) -> Proven:
    """Return the claims of a SET that the transmitter has signed for this source; ``now`` in milliseconds.

    Raises:
        SignatureInvalidError: it is no SET, the transmitter has not signed it, or the source's Authorization header is missing.
        CallerError: it is not as it should be, for somebody else, or too old.

    """
    if not is_security_event_token(request):
        raise SignatureInvalidError("the content type is not that of a Security Event Token")
    if trust.has_secret:
        static_header.verify(request, trust, now)
    typ, claims = trust.verified_jwt(_token(request))
    if not trust.tolerate_typ and not _TYP.fullmatch(typ or ""):
        raise SignatureInvalidError("typ is not secevent+jwt, which this source does not tolerate")
    if not isinstance(claims.get("events"), dict):
        raise SignatureInvalidError("events is missing: an ID token has none")
    if claims.get("iss") != trust.issuer:
        raise IssuerMismatchError("iss is not exactly that of this stream")
    aud = claims.get("aud")
    if trust.audience is None or trust.audience not in (aud if isinstance(aud, list) else [aud]):
        raise AudienceMismatchError("aud is not the audience of this stream")
    issued_at, _ = _check(claims)
    if not -MAX_CLOCK_DIFFERENCE <= now - issued_at <= MAX_AGE * 1000:
        raise SecurityEventTokenInvalidError("iat is in the future, or too long ago")
    return Proven(json.dumps(claims).encode())


def parse(proven: Proven, context: Context) -> Parsed:
    """Read the event of a SET. It may have several types only if they mean the same (RFC 8417, section 2.2).

    Raises:
        CallerError: the SET or its subject is not as it should be.

    """
    claims = json_object(proven.body)
    _, jti = _check(claims)
    found: list[Parsed] = []
    for uri, event in claims["events"].items():
        read = OF_STREAMS.get(uri)
        if read is not None:
            found.append(read(event, context))
        elif uri in _KINDS:
            found.append(_end(_KINDS[uri], event, _Beside(claims.get("sub_id"), claims["iat"], jti), context))
    if any(each != found[0] for each in found):
        raise SecurityEventTokenInvalidError("events has more than one event")
    return found[0] if found else IGNORED


def _token(request: Request) -> str:
    try:
        return request.body.strip().decode("ascii")
    except ValueError as error:
        raise SignatureInvalidError("the body is no token") from error


def _check(claims: Mapping[str, Any]) -> tuple[int, str]:
    """Return when a SET was issued, in milliseconds, and its id (RFC 8417, section 2.2; SSF 1.0, section 4.1)."""
    for name in ("exp", "sub"):
        if name in claims:
            raise SecurityEventTokenInvalidError(f"{name} must not be there")
    events = claims.get("events")
    if not isinstance(events, dict) or not events or not all(isinstance(event, dict) for event in events.values()):
        raise SecurityEventTokenInvalidError("events must have an event, which is an object")
    if not is_numeric_date(claims.get("iat")):
        raise SecurityEventTokenInvalidError("iat must be a time in seconds")
    return round(claims["iat"] * 1000), identifier("jti", claims.get("jti"))


# --- ends -------------------------------------------------------------------------------------------------------------


def _end(kind: _Kind, event: _Event, told: _Beside, context: Context) -> Parsed:
    about = event.get("subject") if told.about is None else told.about  # the former in drafts, at Okta and at Google
    if about is None:
        return UNMAPPABLE
    who, at, reason = named_subject(about, context), _time(event, told, context.now), kind.reason(event)
    session = who.opaque if who.session is None and kind.is_of_session else who.session
    is_whole = context.widen_subjects or not who.is_narrowed
    is_about_user = who.user is not None and not kind.is_of_session and is_whole
    end: Ended | None = None
    if session is not None and not is_about_user:  # else it is the session in which it happened to the user
        sid = identifier("sid", session)
        end = end_of_session(
            context, sid=sid, sub=who.user, ended_at=at, source_event_id=told.jti, reason=reason, cause=kind.cause
        )
    elif who.user is not None and (not kind.is_of_session or who.is_every_session or _is_user_meant(told, context)):
        end = SubjectSessionsEnded(subject(who.user), at, told.jti, reason=reason, cause=kind.cause)
    return UNMAPPABLE if end is None else Parsed((end,))


def _is_user_meant(told: _Beside, context: Context) -> bool:
    """Whether ``session-revoked`` that names a user alone is about all sessions of the user, as CAEP 1.0 says (section 3.1).

    Okta, which names the user as in drafts, sends it when one browser's session ends.
    """
    return told.about is not None if context.unnamed_session is None else context.unnamed_session == "end_subject"


def _time(event: _Event, told: _Beside, now: int) -> int:
    """Return when it happened. A whole second means all of it, so that what started within it is covered."""
    given = event.get("event_timestamp")
    if given is None:
        given = told.issued_at
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < _NO_TIME:
        raise SecurityEventTokenInvalidError("event_timestamp must be a time in seconds")
    if given > _MILLISECONDS:
        return event_time(round(given), now)
    at = event_time(round(given * 1000), now)
    return min(at + _REST_OF_SECOND, now) if given == int(given) else at


def _always(reason: Reason) -> Callable[[_Event], Reason]:
    return lambda _: reason


def _who_revoked(event: _Event) -> Reason:
    """Return the reason that ``initiating_entity`` tells (CAEP 1.0, section 2)."""
    by = event.get("initiating_entity")
    return {"user": Reason.LOGOUT, "admin": Reason.ADMIN_LOGOUT}.get(by if isinstance(by, str) else "", Reason.SESSION_REVOKED)


def _why_disabled(event: _Event) -> Reason:
    return Reason.COMPROMISED if event.get("reason") == "hijacking" else Reason.USER_DISABLED


_KINDS: Mapping[str, _Kind] = {
    f"{_CAEP}session-revoked": _Kind(_who_revoked, is_of_session=True),
    f"{_CAEP}credential-change": _Kind(_always(Reason.CREDENTIAL_CHANGED)),
    f"{_RISC}account-disabled": _Kind(_why_disabled),
    f"{_RISC}account-purged": _Kind(_always(Reason.USER_DELETED)),
    f"{_RISC}account-credential-change-required": _Kind(_always(Reason.CREDENTIAL_CHANGED), "credential_change_required"),
    f"{_RISC}credential-compromise": _Kind(_always(Reason.COMPROMISED)),
    f"{_RISC}sessions-revoked": _Kind(_always(Reason.SESSION_REVOKED)),
    f"{_OAUTH}tokens-revoked": _Kind(_always(Reason.LOGOUT), "token_revoked"),
}
"""The types that end sessions. All others are ignored: they tell of no end, or as Google's ``token-revoked`` of one token."""


FORMAT = Format(
    verify=verify,
    parse=parse,
    check_secret=static_header.check_secret,
    secret_optional=True,
    success=HTTPStatus.ACCEPTED,
    settings=JWKS
    | EVENTS
    | {
        "sid_trust",
        "audience",
        "token_issuer",
        "tolerate_typ",
        "subject_issuers",
        "email_is_sub",
        "widen_subjects",
        "unnamed_session",
        "verification_state",
    },
    required=frozenset({"audience"}),
    ends_sessions=frozenset(POLICIES) - {"token_revoked", "credential_change_required"},  # neither is the end of a session
)
