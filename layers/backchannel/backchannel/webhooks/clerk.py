"""Clerk, whose webhooks Svix sends.

``data.client_id`` is a browser, never a client. A session's id is the ``sid`` of Clerk's own session tokens, and no claim of the
ID tokens that it gives as an OAuth provider.
"""

from collections.abc import Mapping
from http import HTTPStatus

from backchannel.errors import MalformedRequestError
from backchannel.reasons import Reason
from backchannel.sessions.events import event_time, identifier
from backchannel.webhooks import hmac_signatures
from backchannel.webhooks.ended_objects import end_of
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.request import IGNORED, Context, Parsed, Proven, json_object, member


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    document = json_object(proven.body)
    reason = _ENDS.get(member(document, "type", str))
    if reason is None:
        return IGNORED
    if proven.event_id is None:
        raise MalformedRequestError("svix-id is missing")
    at = event_time(member(document, "timestamp", int), context.now)
    event_id = identifier("svix-id", proven.event_id)
    return end_of(member(document, "data", dict), reason, at=at, event_id=event_id, context=context)


_ENDS: Mapping[str, Reason] = {
    "session.ended": Reason.LOGOUT,
    "session.removed": Reason.LOGOUT,
    "session.revoked": Reason.SESSION_REVOKED,
    "user.deleted": Reason.USER_DELETED,
}

FORMAT = Format(
    verify=hmac_signatures.verify_standard_webhooks,
    parse=parse,
    check_secret=hmac_signatures.standard_webhooks_key,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
    required=frozenset({"sid_trust"}),
    event_id_is_beside=True,
)
