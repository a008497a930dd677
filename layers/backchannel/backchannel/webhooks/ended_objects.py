"""Ends told by the object that is gone: a session, with its ``id`` and ``user_id``, or a user, with its ``id``."""

from collections.abc import Mapping
from typing import Any

from backchannel.reasons import Reason
from backchannel.sessions.events import SubjectSessionsEnded, identifier, subject
from backchannel.webhooks.request import UNMAPPABLE, Context, Parsed
from backchannel.webhooks.sids import end_of_session


def end_of(data: Mapping[str, Any], reason: Reason, *, at: int, event_id: str, context: Context) -> Parsed:
    """Return the end of a user's sessions if the reason is that the user was deleted, otherwise that of a session.

    Raises:
        IdentifierInvalidError: the object has no id, or one that no session or user can have.

    """
    if reason is Reason.USER_DELETED:
        return Parsed((SubjectSessionsEnded(subject(data.get("id")), at, event_id, reason=reason),))
    end = end_of_session(
        context,
        sid=identifier("sid", data.get("id")),
        sub=data.get("user_id"),
        ended_at=at,
        source_event_id=event_id,
        reason=reason,
    )
    return UNMAPPABLE if end is None else Parsed((end,))
