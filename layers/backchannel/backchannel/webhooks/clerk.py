"""Clerk, whose webhooks Svix sends.

``data.client_id`` is a browser, never a client. A session's id is the ``sid`` of Clerk's own session tokens, and no claim of the
ID tokens that it gives as an OAuth provider.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust, json_object, member
from backchannel.webhooks.sids import end_of_session

type _Make = Callable[[Mapping[str, Any], int, str, Context], Ended | None]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    document = json_object(proven.body)
    make = _TYPES.get(member(document, "type", str))
    if make is None:
        return IGNORED
    if proven.event_id is None:
        raise MalformedRequestError("svix-id is missing")
    at = event_time(member(document, "timestamp", int), context.now)
    event = make(member(document, "data", dict), at, identifier("svix-id", proven.event_id), context)
    return UNMAPPABLE if event is None else Parsed((event,))


def _session_over(reason: Reason) -> _Make:
    def make(data: Mapping[str, Any], at: int, event_id: str, context: Context) -> Ended | None:
        return end_of_session(
            context,
            sid=identifier("sid", data.get("id")),
            sub=data.get("user_id"),
            ended_at=at,
            source_event_id=event_id,
            reason=reason,
        )

    return make


def _user_deleted(data: Mapping[str, Any], at: int, event_id: str, _: Context) -> Ended | None:
    return SubjectSessionsEnded(subject(data.get("id")), at, event_id, reason=Reason.USER_DELETED)


def _verify(request: Request, trust: Trust, now: int) -> Proven:
    hmac_signatures.standard_webhooks(request, trust.secrets(), now)
    event_id, _, _ = hmac_signatures.standard_webhooks_headers(request)
    return Proven(request.body, event_id)


_TYPES: Mapping[str, _Make] = {
    "session.ended": _session_over(Reason.LOGOUT),
    "session.removed": _session_over(Reason.LOGOUT),
    "session.revoked": _session_over(Reason.SESSION_REVOKED),
    "user.deleted": _user_deleted,
}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    check_secret=hmac_signatures.standard_webhooks_key,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
    required=frozenset({"sid_trust"}),
    event_id_is_beside=True,
)
