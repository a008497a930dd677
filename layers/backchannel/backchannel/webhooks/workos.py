"""WorkOS. ``context.client_id`` is the environment, never a client; ``data.id`` of a session is the ``sid`` of access tokens."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from backchannel.reasons import Reason
from backchannel.sessions.events import Ended, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import hmac_signatures, timestamped_signatures
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust, json_object, member
from backchannel.webhooks.sids import end_of_session


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    document = json_object(proven.body)
    make = _TYPES.get(member(document, "event", str))
    if make is None:
        return IGNORED
    at = end_time("created_at", document, context.now)
    event = make(member(document, "data", dict), at, identifier("id", document.get("id")), context)
    return UNMAPPABLE if event is None else Parsed((event,))


def _session_revoked(data: Mapping[str, Any], at: int, event_id: str, context: Context) -> Ended | None:
    return end_of_session(
        context,
        sid=identifier("sid", data.get("id")),
        sub=data.get("user_id"),
        ended_at=at,
        source_event_id=event_id,
        reason=Reason.SESSION_REVOKED,
    )


def _user_deleted(data: Mapping[str, Any], at: int, event_id: str, _: Context) -> Ended | None:
    return SubjectSessionsEnded(subject(data.get("id")), at, event_id, reason=Reason.USER_DELETED)


def _verify(request: Request, trust: Trust, now: int) -> Proven:
    return timestamped_signatures.verify("workos-signature", request, trust, now, unit=1)


_TYPES: Mapping[str, Callable[[Mapping[str, Any], int, str, Context], Ended | None]] = {
    "session.revoked": _session_revoked,
    "user.deleted": _user_deleted,
}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    check_secret=hmac_signatures.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
    required=frozenset({"sid_trust"}),
)
