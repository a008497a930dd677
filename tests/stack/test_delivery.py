"""What becomes of a delivery, by what its relying party does."""

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pytest

from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import HANG, Answer, RelyingParty
from tests.support.unspeakable import new_id

REFUSAL = json.dumps({"error": "invalid_request", "error_description": "the token\u0000 is\nstale"}).encode()

SAID: Mapping[str, tuple[Answer, ...]] = {
    "ok": (Answer(200),),
    "no_content": (Answer(204),),
    "created": (Answer(201),),
    "slow": (Answer(200, delay=2),),
    "fails_once": (Answer(500), Answer(200)),
    "retry_after": (Answer(503, headers={"Retry-After": "1800"}),),
    "too_many": (Answer(429, headers={"Retry-After": "Thu, 31 Dec 2099 23:59:59 GMT"}),),
    "bad_request": (Answer(400, REFUSAL, {"Content-Type": "application/json"}),),
    "not_found": (Answer(404, b"<html>"),),
    "hangs": (HANG,),
}


@dataclass(frozen=True, slots=True)
class Logout:
    """A session of many different relying parties, ended at ``ended_at`` (seconds since the epoch)."""

    provider: Provider
    logout_id: str
    ended_at: float
    rps: Mapping[str, RelyingParty]
    trap: RelyingParty

    def delivery(self, name: str) -> Json:
        """Return the delivery as it stands after the first attempt."""
        (found,) = until(
            lambda: [each for each in self.provider.deliveries(self.logout_id) if each["client_id"] == name],
            holds=lambda deliveries: deliveries and deliveries[0]["last_code"] is not None,
        )
        return found


@pytest.fixture(scope="module")
def logout(stack: Stack) -> Iterator[Logout]:
    """End one session at relying parties of every kind."""
    with contextlib.ExitStack() as running:
        provider, trap = Provider(stack), running.enter_context(RelyingParty())
        provider.create()
        said = {**SAID, "redirects": (Answer(307, headers={"Location": trap.uri()}),)}
        rps = {name: running.enter_context(RelyingParty(*answers)) for name, answers in said.items()}
        closed = running.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        uris = {name: rp.uri() for name, rp in rps.items()} | {"refuses": "http://127.0.0.1:{1}/".format(*closed.getsockname())}
        for name, uri in uris.items():
            provider.register_client(uri, name)
        provider.register_client("http://no-such-host.invalid/", "no_such_host")
        provider.register_client("http://localhost:9/", "forbidden", allowed_networks=["10.0.0.0/8"])
        provider.put("/clients/no_uri", {})
        sub, sid = new_id("sub"), new_id("sid")
        for name in [*uris, "no_such_host", "forbidden", "no_uri", "unregistered"]:
            provider.start(name, sub=sub, sid=sid)
        ended_at = time.time()
        yield Logout(provider, provider.end_session(sid), ended_at, rps, trap)


@pytest.mark.parametrize(
    ("name", "status", "code", "attempts"),
    [
        ("ok", "accepted", "http_200", 1),
        ("no_content", "accepted", "http_204", 1),
        ("created", "accepted", "http_201", 1),
        ("slow", "accepted", "http_200", 1),
        ("bad_request", "retrying", "http_400", 1),
        ("retry_after", "retrying", "http_503", 1),
        ("too_many", "retrying", "http_429", 1),
        ("not_found", "rejected", "http_404", 1),
        ("redirects", "rejected", "http_307", 1),
        ("forbidden", "retrying", "address_forbidden", 1),
        ("no_uri", "suppressed", "no_backchannel_logout_uri", 0),
        ("unregistered", "undeliverable", "client_not_registered", 0),
    ],
)
def test_what_a_relying_party_does_decides_what_becomes_of_its_delivery(
    logout: Logout, name: str, status: str, code: str, attempts: int
) -> None:
    delivery = logout.delivery(name)

    assert (delivery["status"], delivery["last_code"]) == (status, code)
    # One that is retried may have been attempted again by now.
    assert delivery["attempts"] == attempts or (status == "retrying" and delivery["attempts"] > attempts)
    assert (delivery["next_attempt_at"] is not None) == (status == "retrying")


@pytest.mark.parametrize(
    ("name", "code"), [("refuses", "connect_failed"), ("no_such_host", "dns_failure"), ("hangs", "read_timeout")]
)
def test_a_relying_party_without_an_answer_is_tried_again(logout: Logout, name: str, code: str) -> None:
    delivery = logout.delivery(name)

    assert (delivery["status"], delivery["last_code"], delivery["last_status_code"]) == ("retrying", code, None)


@pytest.mark.parametrize(
    ("name", "shortest", "longest"), [("bad_request", 48, 72), ("retry_after", 1800, 1800), ("too_many", 3600, 3600)]
)
def test_the_next_attempt_is_due_when_the_schedule_or_the_relying_party_says(
    logout: Logout, name: str, shortest: int, longest: int
) -> None:
    delivery = logout.delivery(name)

    due, settled = (datetime.fromisoformat(delivery[key]) for key in ("next_attempt_at", "updated_at"))
    assert shortest <= (due - settled).total_seconds() <= longest


def test_what_a_relying_party_says_about_a_failure_is_kept_without_control_characters(logout: Logout) -> None:
    delivery = logout.delivery("bad_request")

    assert (delivery["error"], delivery["error_description"]) == ("invalid_request", "the token  is stale")


def test_a_redirect_is_not_followed(logout: Logout) -> None:
    logout.delivery("redirects")

    assert logout.trap.requests == []


def test_a_hanging_relying_party_delays_no_other(logout: Logout) -> None:
    logout.delivery("hangs")

    (hanging,) = logout.rps["hangs"].requests[:1]
    assert logout.rps["ok"].requests[0].at < hanging.at + 4


def test_a_failed_attempt_is_followed_by_one_with_a_fresh_token(logout: Logout) -> None:
    delivery = until(lambda: logout.delivery("fails_once"), holds=lambda found: found["status"] == "accepted")

    first, second = logout.rps["fails_once"].requests
    assert (delivery["attempts"], delivery["last_code"], delivery["next_attempt_at"]) == (2, "http_200", None)
    assert second.at - first.at >= 3.5
    claims = [verified(logout.provider, request.token).claims for request in (first, second)]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert claims[0]["iat"] < claims[1]["iat"]


def test_of_a_batch_only_the_failed_deliveries_are_tried_again(provider: Provider, relying_party: MakeRelyingParty) -> None:
    unlucky = [relying_party(Answer(503), Answer(200)) for _ in range(2)]
    lucky = [relying_party() for _ in range(8)]
    sub, sid = new_id("sub"), new_id("sid")
    for rp in (*unlucky, *lucky):
        provider.start(provider.register_client(rp), sub=sub, sid=sid)

    logout = provider.end_session(sid)
    provider.wait_until(logout, *["accepted"] * 8, "retrying", "retrying")
    deliveries = provider.wait_until(logout, *["accepted"] * 10)

    assert sorted(each["attempts"] for each in deliveries) == [1] * 8 + [2, 2]
    assert [len(rp.requests) for rp in unlucky] == [2, 2]
    assert [len(rp.requests) for rp in lucky] == [1] * 8


def test_a_client_that_is_registered_later_is_told_by_a_redelivery(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    sid = new_id("sid")
    provider.start("latecomer", sub=new_id("sub"), sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "undeliverable")

    provider.register_client(rp, "latecomer")
    assert provider.redeliver(logout) == 1
    (delivery,) = provider.wait_until(logout, "accepted")

    assert verified(provider, *rp.tokens).claims["sid"] == sid
    assert delivery["attempts"] == 1


def test_a_redelivery_sends_a_rejected_token_again_and_no_accepted_one(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    rejecting, accepting = relying_party(Answer(404), Answer(200)), relying_party()
    sub, sid = new_id("sub"), new_id("sid")
    for rp in (rejecting, accepting):
        provider.start(provider.register_client(rp), sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted", "rejected")

    assert provider.redeliver(logout) == 1
    provider.wait_until(logout, "accepted", "accepted")
    assert provider.redeliver(logout) == 0
    aws.wait_until_handled(provider.name)

    assert len(rejecting.requests) == 2
    assert len(set(rejecting.tokens)) == 2
    assert len(accepting.requests) == 1


def test_a_message_that_is_delivered_twice_sends_one_token(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    rp = relying_party()
    client_id = provider.register_client(rp)
    sid = new_id("sid")
    provider.start(client_id, sub=new_id("sub"), sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "accepted")

    for queue in ("DeliveryQueue", "RetryQueue"):
        aws.send(queue, json.dumps({"provider": provider.name, "logout_id": logout, "client_id": client_id, "sid": sid}))
    aws.wait_until_handled(provider.name)

    assert len(rp.requests) == 1


@pytest.mark.parametrize(
    "body", ["not json {}", '{{"unknown": "{}"}}', '{{"provider": 5, "logout_id": "{}", "client_id": "c"}}', '["{}"]']
)
def test_a_message_that_nobody_understands_goes_to_the_dead_letter_queue(aws: Aws, body: str) -> None:
    message = body.format(secrets.token_hex(8))

    aws.send("DeliveryQueue", message)

    assert until(lambda: aws.take("DeliveryDeadLetterQueue", message))
