"""WorkOS. ``context.client_id`` is the environment, never a client; ``data.id`` of a session is the ``sid`` of access tokens."""

from collections.abc import Mapping
from http import HTTPStatus

from backchannel.reasons import Reason
from backchannel.sessions.events import identifier
from backchannel.webhooks import hmac_signatures, timestamped_signatures
from backchannel.webhooks.ended_objects import end_of
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time
from backchannel.webhooks.request import IGNORED, Context, Parsed, Proven, Request, Trust, json_object, member


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; types that end nothing are ignored.

    Raises:
        CallerError: the event does not say what ended.

    """
    document = json_object(proven.body)
    reason = _ENDS.get(member(document, "event", str))
    if reason is None:
        return IGNORED
    at = end_time("created_at", document, context.now)
    event_id = identifier("id", document.get("id"))
    return end_of(member(document, "data", dict), reason, at=at, event_id=event_id, context=context)


def _verify(request: Request, trust: Trust, now: int) -> Proven:
    return timestamped_signatures.verify("workos-signature", request, trust, now, unit=1)


_ENDS: Mapping[str, Reason] = {"session.revoked": Reason.SESSION_REVOKED, "user.deleted": Reason.USER_DELETED}

FORMAT = Format(
    verify=_verify,
    parse=parse,
    check_secret=hmac_signatures.check_secret,
    success=HTTPStatus.OK,
    settings=EVENTS | {"sid_trust"},
    required=frozenset({"sid_trust"}),
)
