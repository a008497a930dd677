"""How long a logout takes through the deployed service."""

import time
from collections.abc import Callable

from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import RelyingParty
from tests.support.unspeakable import new_id


def seconds_to_acceptance(
    provider: Provider, client_id: str, rp: RelyingParty, *, before_the_end: Callable[[], None] = lambda: None
) -> float:
    """End a session of one client, and return how long it takes until the client has its token."""
    sid, before = new_id("sid"), len(rp.requests)
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    before_the_end()
    ended_at = time.time()
    provider.end_session(sid)
    until(lambda: len(rp.requests) > before)
    return rp.requests[before].at - ended_at
