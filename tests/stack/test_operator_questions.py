"""The questions of an operator at night, each answered by the operator's interface alone."""

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.mass_logouts import MassLogoutRun
from tests.support.polling import until
from tests.support.principal import principal
from tests.support.provider import SOURCE, Json, Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second


def test_which_relying_parties_have_been_failing_this_week(provider: Provider, relying_party: MakeRelyingParty) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    for client_id, answers in {"wiki": [Answer()], "mail": [Answer(403)], "chat": [Answer(503), Answer()]}.items():
        provider.register_client(relying_party(*answers), client_id)
        provider.start(client_id, sub=sub, sid=sid)
    provider.wait_until(provider.end_session(sid), "accepted", "rejected", "accepted")

    def this_week() -> dict[str, Json]:
        return {each["client_id"]: each for each in provider.get("/counts")["clients"]}

    counts = until(this_week, holds=lambda found: sum(each["accepted"] + each["failed"] for each in found.values()) == 3)
    failing = {client_id for client_id, each in counts.items() if each["failed"]}

    assert failing == {"mail"}
    assert counts["mail"]["failed_by_code"] == {"http_403": 1}
    assert counts["chat"]["failed_attempts_by_code"] == {"http_503": 1}
    assert (counts["wiki"]["failed_attempts"], counts["wiki"]["accepted"]) == (0, 1)
    assert 0 < counts["wiki"]["p50_ms"] <= counts["chat"]["p95_ms"]
    (today,) = provider.get("/clients/mail/counts")["days"]
    assert (today["failed"], today["accepted"], today["p50_ms"]) == (1, 0, None)


def test_is_x_logged_out_everywhere_and_if_not_why_and_send_it_again_now(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    ada, sid, rp = new_id("sub"), new_id("sid"), relying_party(Answer(403, b"who are you?", {"Content-Type": "text/plain"}))
    provider.register_client(relying_party(), "wiki")
    provider.register_client(rp, "mail")
    for client_id in ("wiki", "mail"):
        provider.start(client_id, sub=ada, sid=sid)
    provider.wait_until(provider.end_session(sid), "accepted", "rejected")

    # Is she logged out everywhere?
    (logout,) = {each["logout_id"] for each in provider.rp_sessions(sub=ada)}
    shown = until(lambda: provider.get(f"/logouts/{logout}"), holds=lambda found: found["settled"])
    (left,) = [each for each in shown["deliveries"] if each["status"] != "accepted"]
    assert left["client_id"] == "mail"

    # Why not?
    (attempt,) = left["history"]
    assert (attempt["code"], attempt["status_code"], attempt["address"]) == ("http_403", 403, "127.0.0.1")
    assert attempt["at"] <= left["updated_at"]
    assert left["error"] == "who are you?"

    # Send it again now.
    rp.answers = [Answer()]
    provider.post(f"/logouts/{logout}/redeliveries", {"now": True})
    provider.wait_until(logout, "accepted", "accepted")
    (mail,) = [each for each in provider.get(f"/logouts/{logout}")["deliveries"] if each["client_id"] == "mail"]
    assert [each["code"] for each in mail["history"]] == ["http_403", "http_200"]


def test_who_ordered_this(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    client_id, sid, other_sid = provider.register_client(relying_party(Answer(403))), new_id("sid"), new_id("sid")
    for each in (sid, other_sid):
        provider.start(client_id, sub=new_id("sub"), sid=each)

    with principal(aws, "first") as first, principal(aws, "second") as second:
        ordered = first.ask("POST", f"{provider.path}/logouts", {"sid": sid, "reason": "compromised"}).body["logout_id"]
        provider.wait_until(ordered, "rejected")
        assert second.ask("POST", f"{provider.path}/logouts/{ordered}/redeliveries").status == 202
    reported = provider.end_session(other_sid)
    provider.wait_until(reported, "rejected")

    # Of a logout, whoever has its id.
    shown = provider.get(f"/logouts/{ordered}")
    assert (shown["requested_by"], shown["source"]) == (first.arn, None)
    (delivery,) = shown["deliveries"]
    assert delivery["requested_by"] == second.arn
    assert delivery["requested_at"] > shown["ended_at"]
    shown = provider.get(f"/logouts/{reported}")
    assert (shown["requested_by"], shown["source"]) == (None, SOURCE)
    assert shown["deliveries"][0]["requested_by"] is None

    # Of all logouts, the newest first; then those of one operator, and those for one reason.
    logouts = until(lambda: provider.get("/logouts")["logouts"], holds=lambda found: len(found) == 2)
    assert [(each["logout_id"], each["requested_by"], each["source"]) for each in logouts] == [
        (reported, None, SOURCE),
        (ordered, first.arn, None),
    ]
    for query in (f"requested_by={first.arn}", "reason=compromised"):
        assert [each["logout_id"] for each in provider.get(f"/logouts?{query}")["logouts"]] == [ordered]
    assert provider.get(f"/logouts?requested_by={second.arn}")["logouts"] == []


def test_who_is_signed_in_at_y_and_log_everybody_of_y_out(provider: Provider, relying_party: MakeRelyingParty) -> None:
    wiki, mail, people = relying_party(), relying_party(), [new_id("sub") for _ in range(3)]
    for client_id, rp in {"wiki": wiki, "mail": mail}.items():
        provider.register_client(rp, client_id)
        for sub in people:
            provider.start(client_id, sub=sub, sid=f"s-{sub}")

    def signed_in(client_id: str) -> set[str]:
        sessions = provider.get(f"/sessions?client_id={client_id}")["sessions"]
        return {each["sub"] for each in sessions if each["ended_at"] is None}

    assert until(lambda: signed_in("wiki"), holds=lambda found: len(found) == 3) == set(people)
    finished = MassLogoutRun(provider, scope={"client_id": "wiki"}).wait_until_finished()

    assert finished["clients"] == {"wiki": {"accepted": 3}}
    assert (len(wiki.tokens), len(mail.tokens)) == (3, 0)
    assert (signed_in("wiki"), signed_in("mail")) == (set(), set(people))


def test_stop_z_and_lose_nothing_of_it(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp, sid = relying_party(), new_id("sid")
    path = f"/clients/{provider.register_client(rp)}"
    provider.start(path.rpartition("/")[2], sub=new_id("sub"), sid=sid)

    stopped = provider.post(f"{path}/pause", {})
    logout = provider.end_session(sid)
    provider.wait_until(logout, "queued")
    waiting = until(
        lambda: provider.get(f"/logouts/{logout}")["deliveries"],
        holds=lambda found: found and found[0]["last_code"] == "client_paused",
    )
    provider.post(f"{path}/resume", {})
    provider.wait_until(logout, "accepted")

    assert stopped["paused_by"].startswith("arn:aws:iam::")
    assert (waiting[0]["status"], waiting[0]["attempts"], len(rp.tokens)) == ("queued", 0, 1)
