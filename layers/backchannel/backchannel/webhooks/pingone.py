"""PingOne's webhooks: audit events in batches of up to 500, which it repeats until the answer is 200, for seven days.

``actors`` are who did it, an administrator for instance; the user whom it was done to is the one of ``resources``.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import static_header
from backchannel.webhooks.batches import entries_of, loosely
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time
from backchannel.webhooks.request import IGNORED, MAX_BODY, UNMAPPABLE, Context, Parsed, Proven, json_object, member

MAX_AGE = 8 * 86_400
"""Seconds: what was repeated for seven days is still an end."""


def entries(proven: Proven) -> list[Proven]:
    """Return the events of a batch; what is none is one event, and so refused without an error, which would come again."""
    try:
        document = loosely(proven.body)
    except MalformedRequestError:
        return [proven]
    return entries_of(document) if isinstance(document, list) else [proven]


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing, and what failed, are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    document = json_object(proven.body)
    kind = member(member(document, "action", dict), "type", str)
    if kind not in _TYPES or member(member(document, "result", dict), "status", str).casefold() != "success":
        return IGNORED
    reason, users = _TYPES[kind], _users(document)
    if reason is None or not users or any(each != users[0] for each in users):
        return UNMAPPABLE
    at = end_time("recordedAt", document, context.now)
    event_id = identifier("id", document.get("id"))
    return Parsed((SubjectSessionsEnded(subject(users[0]), at, event_id, reason=reason),))


def _users(document: Mapping[str, Any]) -> list[object]:
    resources = member(document, "resources", list)
    return [each.get("id") for each in resources if isinstance(each, dict) and each.get("type") == "USER"]


_TYPES: Mapping[str, Reason | None] = {
    "PASSWORD.RESET": Reason.CREDENTIAL_CHANGED,
    "PASSWORD.SET": Reason.CREDENTIAL_CHANGED,
    "USER.DELETED": Reason.USER_DELETED,
    "USER.LOCKED": Reason.USER_DISABLED,
    "SESSION.DELETED": None,  # no documentation says whose session, or what its id is in ID tokens
}

FORMAT = Format(
    verify=static_header.verify,
    parse=parse,
    check_secret=static_header.check_secret,
    success=HTTPStatus.OK,  # it takes no other
    settings=EVENTS,
    max_age=MAX_AGE,
    max_body=MAX_BODY,  # of 500 events; it would repeat for days what is refused as too large
    entries=entries,
)
