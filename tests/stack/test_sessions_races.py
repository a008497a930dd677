"""Through the deployed service: a start and an end that meet, and two ends of one session that do."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.races import race, sids_of
from tests.support.unspeakable import new_id

PAIRS = 40


def test_the_rp_of_every_session_whose_start_and_end_meet_is_told(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)

    raced = race(provider, client_id, lambda: sids_of(rp.tokens), PAIRS, seed=1)
    aws.wait_until_handled(provider.name)

    assert (raced.missed, raced.duplicates) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("session.ended", "user.sessions_ended"),  # Okta: end of the session, and all sessions cleared
        ("session.ended", "session.ended"),  # Keycloak: logout, and the administrator removes the same session
        ("user.sessions_ended", "user.sessions_ended"),
    ],
)
def test_two_different_ends_of_one_session_at_the_same_time_bring_each_rp_one_token(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, kind: str, other: str
) -> None:
    rps = [relying_party() for _ in range(3)]
    sub, sid = new_id("sub"), new_id("sid")
    for rp in rps:
        provider.start(provider.register_client(rp), sub=sub, sid=sid)
    together = threading.Barrier(2)

    def end(kind: str) -> int:
        together.wait()
        event_id = secrets.token_hex(8)
        if kind == "session.ended":
            return provider.webhook(kind, event_id=event_id, sid=sid).status
        return provider.webhook(kind, event_id=event_id, sub=sub).status

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(end, (kind, other))) == [202, 202]
    until(lambda: [len(rp.requests) for rp in rps], holds=all)
    aws.wait_until_handled(provider.name)

    assert [len(rp.requests) for rp in rps] == [1, 1, 1]
