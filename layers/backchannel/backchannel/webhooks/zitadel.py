"""ZITADEL, as its Actions (version 2) send events to a target that is signed for.

``userID`` at the top is whoever caused the event, an administrator for instance. The user is in the payload or, for events of
``user``, the aggregate. Of the payload nothing is kept but ids: that of a new password holds its hash.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEvent, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import hmac_signatures, timestamped_signatures
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time, start_time
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust, json_object, member
from backchannel.webhooks.sids import end_of_session, trusted_sid

type _Make = Callable[[Mapping[str, Any], str, Context], Parsed]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that start or end nothing are ignored.

    Raises:
        CallerError: the event does not say what started or ended.

    """
    document = json_object(proven.body)
    make = _TYPES.get(member(document, "event_type", str))
    if make is None:
        return IGNORED
    event_id = f"{identifier('aggregateID', document.get('aggregateID'))}:{member(document, 'sequence', int):d}"
    return make(document, event_id, context)


def _payload(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the payload: JSON since September 2025, base64 of it before, or none at all."""
    payload = document.get("event_payload")
    if isinstance(payload, str):
        try:
            return json_object(base64.b64decode(payload, validate=True))
        except (binascii.Error, ValueError) as error:
            raise MalformedRequestError("event_payload is not base64") from error
    return {} if payload is None else member(document, "event_payload", dict)


def _started(document: Mapping[str, Any], _: str, context: Context) -> Parsed:
    """Return the start of an RP session. A machine's token has no client and no session."""
    payload = _payload(document)
    if payload.get("clientID") in (None, "") or payload.get("sessionID") in (None, ""):
        return IGNORED
    return Parsed(
        (
            RpSessionStarted(
                sub=subject(payload.get("userID")),
                client_id=identifier("client_id", payload["clientID"]),
                started_at=start_time("created_at", document, context.now),
                sid=trusted_sid(identifier("sid", payload["sessionID"]), context.sid_trust),
            ),
        )
    )


def _terminated(document: Mapping[str, Any], event_id: str, context: Context) -> Parsed:
    return _session_over(document, event_id, context, document["aggregateID"], None)


def _signed_out(document: Mapping[str, Any], event_id: str, context: Context) -> Parsed:
    """Read a logout. Without a session, which older logins did not have, it is one of the user's; which one, nobody knows."""
    session_id = _payload(document).get("sessionID")
    if session_id in (None, ""):
        everywhere = _of_user(Reason.LOGOUT)
        return UNMAPPABLE if context.unmatched_sid == "report" else everywhere(document, event_id, context)
    return _session_over(document, event_id, context, session_id, document["aggregateID"])


def _session_over(document: Mapping[str, Any], event_id: str, context: Context, session_id: object, sub: str | None) -> Parsed:
    event = end_of_session(
        context,
        sid=identifier("sid", session_id),
        sub=sub,
        ended_at=end_time("created_at", document, context.now),
        source_event_id=event_id,
        reason=Reason.LOGOUT,
    )
    return UNMAPPABLE if event is None else Parsed((event,))


def _of_user(reason: Reason) -> _Make:
    def make(document: Mapping[str, Any], event_id: str, context: Context) -> Parsed:
        at = end_time("created_at", document, context.now)
        event: SessionEvent = SubjectSessionsEnded(subject(document["aggregateID"]), at, event_id, reason=reason)
        return Parsed((event,))

    return make


def _verify(request: Request, trust: Trust, now: int) -> Proven:
    return timestamped_signatures.verify("zitadel-signature", request, trust, now, unit=1000)


_TYPES: Mapping[str, _Make] = {
    "oidc_session.added": _started,
    "session.terminated": _terminated,
    "user.human.signed.out": _signed_out,
    "user.deactivated": _of_user(Reason.USER_DISABLED),
    "user.locked": _of_user(Reason.USER_DISABLED),
    "user.removed": _of_user(Reason.USER_DELETED),
    "user.human.password.changed": _of_user(Reason.CREDENTIAL_CHANGED),
}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    check_secret=hmac_signatures.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
)
