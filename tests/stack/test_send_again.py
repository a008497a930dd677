"""Sending again through the deployed service: what the operator asks for reaches the relying party within seconds."""

from datetime import UTC, datetime, timedelta

from tests.stack.conftest import MakeRelyingParty
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.unspeakable import new_id

COME_IN_AN_HOUR = Answer(503, headers={"Retry-After": "3600"})
REFUSED = Answer(404)
OK = Answer(200)


def ended(provider: Provider, *clients: str, status: str) -> str:
    """End a session of these clients, and wait until each of its deliveries has this status."""
    sub, sid = new_id("sub"), new_id("sid")
    for client_id in clients:
        provider.start(client_id, sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, *[status] * len(clients))
    return logout


def send_again(provider: Provider, logout: str, **body: object) -> Json:
    return provider.post(f"/logouts/{logout}/redeliveries", body)


def since_yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()


def wait_for_requests(rp: RelyingParty, count: int) -> None:
    until(lambda: len(rp.requests), holds=lambda found: found == count)


def test_a_delivery_that_waits_for_an_hour_is_attempted_now(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party(COME_IN_AN_HOUR, OK)
    logout = ended(provider, provider.register_client(rp), status="retrying")

    left_alone = send_again(provider, logout)
    hastened = send_again(provider, logout, now=True)

    assert left_alone == {"queued": 0, "skipped": {"waiting": 1}, "next": None}
    assert hastened == {"queued": 1, "skipped": {}, "next": None}
    (delivery,) = provider.wait_until(logout, "accepted")
    assert (delivery["attempts"], len(rp.requests)) == (2, 2)


def test_what_waits_at_a_client_is_attempted_now(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party(COME_IN_AN_HOUR, OK)
    client_id = provider.register_client(rp)
    logout = ended(provider, client_id, status="retrying")

    answer = provider.post(f"/clients/{client_id}/redeliveries", {"since": since_yesterday(), "now": True})

    assert (answer["queued"], answer["skipped"]) == (1, {})
    provider.wait_until(logout, "accepted")


def test_an_accepted_delivery_is_repeated_if_its_status_is_named(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    logout = ended(provider, client_id, status="accepted")

    by_default = send_again(provider, logout)
    named = send_again(provider, logout, statuses=["accepted"])
    wait_for_requests(rp, 2)
    provider.wait_until(logout, "accepted")
    at_the_client = provider.post(f"/clients/{client_id}/redeliveries", {"since": since_yesterday(), "statuses": ["accepted"]})
    wait_for_requests(rp, 3)

    assert by_default == {"queued": 0, "skipped": {"accepted": 1}, "next": None}
    assert named == {"queued": 1, "skipped": {}, "next": None}
    assert at_the_client["queued"] == 1


def test_a_redelivery_says_why_it_leaves_deliveries_alone(provider: Provider, relying_party: MakeRelyingParty) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    for rp in (relying_party(), relying_party(COME_IN_AN_HOUR), relying_party(REFUSED)):
        provider.start(provider.register_client(rp), sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted", "retrying", "rejected")

    named = send_again(provider, logout, statuses=["blocked"])
    by_default = send_again(provider, logout)

    assert named == {"queued": 0, "skipped": {"accepted": 1, "waiting": 1, "rejected": 1}, "next": None}
    assert by_default == {"queued": 1, "skipped": {"accepted": 1, "waiting": 1}, "next": None}


def test_what_a_client_without_a_uri_has_missed_is_part_of_its_redelivery(provider: Provider) -> None:
    client_id = "no-uri"
    provider.put(f"/clients/{client_id}", {})
    ended(provider, client_id, status="suppressed")

    answer = provider.post(f"/clients/{client_id}/redeliveries", {"since": since_yesterday()})

    assert (answer["queued"], answer["skipped"]) == (1, {})


def test_a_session_whose_end_was_refused_is_ended_again_by_the_operator(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(REFUSED, OK)
    client_id, sid = provider.register_client(rp), new_id("sid")
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "rejected")

    again = provider.post("/logouts", {"sid": sid})["logout_id"]

    assert again == logout
    provider.wait_until(logout, "accepted")
    assert len(rp.requests) == 2


def test_a_subject_whose_end_was_refused_is_ended_again_by_the_operator(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp, other = relying_party(REFUSED, OK), relying_party()
    sub, sid = new_id("sub"), new_id("sid")
    for each in (rp, other):
        provider.start(provider.register_client(each), sub=sub, sid=sid)
    logout = provider.end_subject(sub)
    provider.wait_until(logout, "rejected", "accepted")

    provider.post("/logouts", {"sub": sub})

    provider.wait_until(logout, "accepted", "accepted")
    assert (len(rp.requests), len(other.requests)) == (2, 1)
