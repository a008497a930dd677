"""Events that are about a stream of Security Event Tokens itself (SSF 1.0, section 8.1). They end no session."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from backchannel.errors import VerificationStateMismatchError, shown
from backchannel.webhooks.request import IGNORED, Context, Parsed

_RISC, _SSF = (f"https://schemas.openid.net/secevent/{of}/event-type/" for of in ("risc", "ssf"))


def _verification(event: Mapping[str, Any], context: Context) -> Parsed:
    """Check the ``state`` of a verification that we asked for; one that the transmitter begins has none."""
    state, ours = event.get("state"), context.verification_state
    if state is None or ours is None:
        return IGNORED
    if not isinstance(state, str) or not hmac.compare_digest(state.encode(errors="replace"), ours.encode()):
        raise VerificationStateMismatchError("state is not the one that this stream is verified with")
    return IGNORED


def _stream_updated(event: Mapping[str, Any], _: Context) -> Parsed:
    status, reason = event.get("status"), event.get("reason")
    if status not in ("paused", "disabled"):
        return IGNORED
    return Parsed(ignored=1, stopped=(f"{status}: {shown(reason)}" if isinstance(reason, str) else status,))


OF_STREAMS: Mapping[str, Callable[[Mapping[str, Any], Context], Parsed]] = {
    f"{_SSF}verification": _verification,
    f"{_RISC}verification": _verification,
    f"{_SSF}stream-updated": _stream_updated,
}
"""The types that are about the stream itself. Google has the name that verification had in drafts."""
