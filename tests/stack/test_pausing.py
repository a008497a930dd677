"""A client is paused and resumed, and its registration changes meanwhile: it loses no logout."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

QUICK = 20
"""Seconds: less than the half a minute that a delivery waits for its client at the least, if nobody wakes it."""


def ask(provider: Provider, method: str, path: str, document: Any = None) -> Json:
    response = provider.stack.request(method, provider.path + path, document, signed=True)
    assert 200 <= response.status < 300, response
    body: Json = response.body
    return body


def logged_in(provider: Provider, client_id: str) -> str:
    """Return the ``sid`` of a session at a client."""
    sid = new_id("sid")
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    return sid


def until_paused(provider: Provider, logout: str) -> None:
    provider.wait_for(logout, lambda found: [each["last_code"] for each in found] == ["client_paused"])


def test_the_sequence_that_used_to_lose_a_logout_does_not(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    client = f"/clients/{provider.register_client(rp, 'wiki', give_up_after=60)}"
    sid = logged_in(provider, "wiki")
    registered = ask(provider, "GET", client)

    assert ask(provider, "PUT", client, registered) == {name: registered[name] for name in registered if name != "circuit"}
    ask(provider, "PATCH", client, {"exp": 60})
    ask(provider, "POST", f"{client}/pause")
    logout = provider.end_session(sid)
    until_paused(provider, logout)
    ask(provider, "POST", f"/logouts/{logout}/redeliveries", {"now": True})
    waiting = until(lambda: provider.deliveries(logout), holds=lambda found: found[0]["next_attempt_at"] is not None)
    resumed = ask(provider, "POST", f"{client}/resume")
    began = time.monotonic()
    (accepted,) = provider.wait_until(logout, "accepted")

    assert time.monotonic() - began < QUICK
    assert (waiting[0]["status"], waiting[0]["attempts"], accepted["attempts"]) == ("queued", 0, 1)
    assert resumed == resumed | {"backchannel_logout_uri": rp.uri(), "give_up_after": 60, "exp": 60, "paused": False}
    assert len(rp.requests) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_paused_pauses_and_wakes_as_the_two_routes_do(
    provider: Provider, relying_party: MakeRelyingParty, method: str
) -> None:
    rp = relying_party()
    client = f"/clients/{provider.register_client(rp, 'wiki')}"
    sid = logged_in(provider, "wiki")

    def change(**members: object) -> Json:
        document = members if method == "PATCH" else {**ask(provider, "GET", client), **members}
        return ask(provider, method, client, document)

    paused = change(paused=True)
    again = change(paused=True, exp=60)
    logout = provider.end_session(sid)
    until_paused(provider, logout)
    resumed = change(paused=False)
    provider.wait_until(logout, "accepted", seconds=QUICK)

    assert paused["paused_by"].startswith("arn:aws:iam::")
    assert paused["paused_at"] is not None
    assert again == {**paused, "exp": 60}
    assert (resumed["paused_by"], resumed["paused_at"]) == (None, None)
    assert (paused["resumed_by"], resumed["resumed_by"]) == (None, paused["paused_by"])
    assert resumed["resumed_at"] > paused["paused_at"]


def test_to_pause_and_to_resume_twice_is_to_do_it_once(provider: Provider) -> None:
    client = f"/clients/{provider.register_client('https://rp.example/', 'wiki')}"

    paused = [ask(provider, "POST", f"{client}/pause") for _ in range(2)]
    shown = ask(provider, "GET", client)
    resumed = [ask(provider, "POST", f"{client}/resume") for _ in range(2)]

    assert paused[0] == paused[1] == {name: value for name, value in shown.items() if name != "circuit"}
    assert resumed[0] == resumed[1]
    assert [each["paused"] for each in (*paused, *resumed)] == [True, True, False, False]


def test_a_delivery_whose_message_sqs_has_forgotten_is_woken_all_the_same(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws, stack: Stack
) -> None:
    rp = relying_party()
    client = f"/clients/{provider.register_client(rp, 'wiki', paused=True)}"
    logouts = [provider.end_session(logged_in(provider, "wiki")) for _ in range(3)]
    for logout in logouts:
        until_paused(provider, logout)
    long_ago = str(round(time.time() * 1000) - 5 * 86_400_000)
    for logout in logouts:  # as if it had been paused five days ago
        (delivery,) = aws.client("dynamodb").query(
            TableName=stack.tables["DeliveriesTable"],
            KeyConditionExpression="pk = :pk AND begins_with(sk, :rp)",
            ExpressionAttributeValues={":pk": {"S": logout}, ":rp": {"S": "RP#"}},
        )["Items"]
        aws.client("dynamodb").update_item(
            TableName=stack.tables["DeliveriesTable"],
            Key={"pk": delivery["pk"], "sk": delivery["sk"]},
            UpdateExpression="SET next_attempt_at = :then, created_at = :then",
            ExpressionAttributeValues={":then": {"N": long_ago}},
        )

    ask(provider, "POST", f"{client}/resume")

    for logout in logouts:
        (delivery,) = provider.wait_until(logout, "accepted", seconds=QUICK)
        assert delivery["attempts"] == 1
    assert len(rp.requests) == 3


def test_a_delivery_that_waits_for_another_reason_goes_on_too_and_once(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(503, headers={"Retry-After": "600"}), Answer(503, headers={"Retry-After": "600"}))
    client = f"/clients/{provider.register_client(rp, 'wiki')}"
    logout = provider.end_session(logged_in(provider, "wiki"))
    provider.wait_for(logout, lambda found: [each["attempts"] for each in found] == [1])

    ask(provider, "POST", f"{client}/pause")
    ask(provider, "POST", f"{client}/resume")
    provider.wait_for(logout, lambda found: [each["attempts"] for each in found] == [2], seconds=QUICK)
    time.sleep(1)

    assert len(rp.requests) == 2


def test_changes_of_one_client_at_the_same_time_are_all_kept(provider: Provider) -> None:
    client = f"/clients/{provider.register_client('https://rp.example/', 'wiki')}"
    changes: list[Json] = [{"exp": 60}, {"give_up_after": 600}, {"typ": "JWT"}, {"subject": "sid_only"}]

    with ThreadPoolExecutor(len(changes)) as pool:
        for done in [pool.submit(ask, provider, "PATCH", client, change) for change in changes]:
            done.result()

    shown = ask(provider, "GET", client)
    assert shown == shown | {name: value for change in changes for name, value in change.items()}
