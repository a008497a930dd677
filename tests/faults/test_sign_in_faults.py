"""The trigger of a user pool while SQS misbehaves: no sign-in fails or waits, and what can still be handed on is."""

import copy
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws import background_queue
from backchannel.aws.background_queue import BackgroundQueue
from tests.faults.conftest import server_context
from tests.faults.servers import (
    Behaviour,
    Server,
    answers,
    answers_then_ends,
    answers_then_hangs,
    full_backlog,
    hangs,
    resets,
    sips,
)
from tests.support.deployed import load
from tests.support.json_values import json_values
from tests.support.polling import until
from tests.unit.fakes import sample

type Start = Callable[[str], ModuleType]

WITHIN = 0.2
"""Seconds that a sign-in may take, whatever happens."""

SIGN_IN = sample("cognito-lambda-PreTokenGeneration-v1.json")
TAKEN = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"MessageId": "m"}'
UNAVAILABLE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}"
ENVIRONMENT = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start the function with a queue at a URL."""
    with ExitStack() as stack:

        def start(url: str) -> ModuleType:
            for name, value in {**ENVIRONMENT, "SOURCE_EVENTS_QUEUE_URL": url}.items():
                monkeypatch.setenv(name, value)
            return started(stack)

        yield start


def started(stack: ExitStack) -> ModuleType:
    """Start the function with whatever is in the environment."""
    app = load("cognito_sign_in")
    if app.queue is not None:
        stack.callback(app.queue.close)
    return app


def _within(app: ModuleType, event: Any, seconds: float = WITHIN) -> None:
    """Invoke the function; it returns the event as it was, in time."""
    before, began = copy.deepcopy(event), time.perf_counter()

    answer = app.handler(event, None)

    assert time.perf_counter() - began < seconds
    assert json.dumps(answer) == json.dumps(before)


def _bodies(server: Server) -> list[Any]:
    requests = [request.partition(b"\r\n\r\n")[2] for request in server.requests]
    return [json.loads(json.loads(body)["MessageBody"]) for body in requests]


def _counted(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["SignInsNotHandedOn"] == 1]


MISBEHAVIOUR: dict[str, Behaviour] = {
    "never answers": hangs,
    "reads slowly": sips,
    "hangs in its answer": answers_then_hangs(b"HTTP/1.1 200 OK\r\n"),
    "resets": resets,
    "breaks its answer off": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "500": answers(UNAVAILABLE),
    "403": answers(REFUSED),
    "no HTTP": answers(b"SSH-2.0\r\n\r\n"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_whatever_sqs_does_a_sign_in_is_answered_in_time_and_counted(
    function: Start, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with Server(MISBEHAVIOUR[name]) as server:
        app = function(f"http://127.0.0.1:{server.port}/1/queue")
        for _ in range(3):
            _within(app, SIGN_IN)

    assert [line["message"] for line in _counted(capsys)] == ["sign_in.not_handed_on"] * 3
    assert app.queue.waiting == 3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_where_nobody_listens_a_sign_in_is_answered_in_time(function: Start, scheme: str) -> None:
    app = function(f"{scheme}://127.0.0.1:9/1/queue")

    _within(app, SIGN_IN)


def test_while_connecting_hangs_a_sign_in_is_answered_in_time(function: Start) -> None:
    with full_backlog() as port:
        app = function(f"http://127.0.0.1:{port}/1/queue")
        for _ in range(2):
            _within(app, SIGN_IN)


def test_while_dns_hangs_a_sign_in_is_answered_in_time(function: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(0.5))
    app = function("http://sqs.test/1/queue")

    for _ in range(2):
        _within(app, SIGN_IN)


def test_while_a_tls_handshake_hangs_a_sign_in_is_answered_in_time(function: Start) -> None:
    with Server(hangs) as server:
        app = function(f"https://127.0.0.1:{server.port}/1/queue")

        _within(app, SIGN_IN)


def test_a_sign_in_is_handed_on_over_tls_to_whom_the_bundle_trusts_alone(
    function: Start, authority: trustme.CA, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with ExitStack() as stack:
        trusted, stranger = (
            stack.enter_context(Server(answers(TAKEN), tls=server_context(each, "localhost")))
            for each in (authority, trustme.CA())
        )
        for server in (trusted, stranger):
            _within(function(f"https://localhost:{server.port}/1/queue"), SIGN_IN)
        until(lambda: trusted.requests)

    assert stranger.requests == []


def test_sign_ins_share_a_connection(function: Start, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(answers(TAKEN)) as server:
        app = function(f"http://127.0.0.1:{server.port}/1/queue")
        for _ in range(3):
            _within(app, SIGN_IN)

    assert (len(server.requests), server.connections) == (3, 1)
    assert _counted(capsys) == []


def test_a_connection_that_was_closed_meanwhile_costs_no_sign_in(function: Start, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(answers_then_ends(TAKEN, lambda peer: peer.reset())) as server:
        app = function(f"http://127.0.0.1:{server.port}/1/queue")
        for _ in range(3):
            _within(app, SIGN_IN)

    assert _counted(capsys) == []
    assert server.connections == 3


def test_a_connection_that_has_long_been_idle_is_not_used_again(function: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_queue, "IDLE", 0)
    with Server(answers(TAKEN)) as server:
        app = function(f"http://127.0.0.1:{server.port}/1/queue")
        for _ in range(2):
            _within(app, SIGN_IN)

    assert server.connections == 3, "that of the start, too"


def test_what_was_not_handed_on_goes_with_the_next_sign_in(function: Start, capsys: pytest.CaptureFixture[str]) -> None:
    behaviour = answers(UNAVAILABLE, UNAVAILABLE, TAKEN)
    users = [{**SIGN_IN, "request": {"userAttributes": {"sub": name}}} for name in ("ada", "bob", "cy")]
    with Server(behaviour) as server:
        app = function(f"http://127.0.0.1:{server.port}/1/queue")
        for user in users:
            _within(app, user)
        until(lambda: app.queue.waiting == 0)

    subs = [each["event"]["request"]["userAttributes"]["sub"] for each in _bodies(server)]
    assert subs == ["ada", "bob", "cy", "bob", "ada"]
    assert len(_counted(capsys)) == 2


def test_of_too_many_that_wait_the_oldest_are_lost() -> None:
    with Server(answers(UNAVAILABLE)) as server:
        queue = BackgroundQueue(f"http://127.0.0.1:{server.port}/1/queue", ENVIRONMENT)
        for number in range(background_queue.KEPT + 5):
            assert not queue.send(str(number), 1)
        queue.close()

    assert queue.waiting == background_queue.KEPT


@pytest.mark.parametrize("name", ["cognito-lambda-PreTokenGeneration-refresh", "cognito-lambda-PostAuthentication"])
def test_what_is_no_sign_in_sends_nothing(function: Start, name: str) -> None:
    with Server(answers(TAKEN)) as server:
        _within(function(f"http://127.0.0.1:{server.port}/1/queue"), sample(f"{name}.json"))

    assert server.requests == []


@pytest.mark.parametrize("missing", ["SOURCE_EVENTS_QUEUE_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID"])
def test_without_a_variable_the_function_starts_and_a_sign_in_is_counted(
    function: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    with Server(answers(TAKEN)) as server:
        function(f"http://127.0.0.1:{server.port}/1/queue")
        monkeypatch.delenv(missing)
        with ExitStack() as stack:
            _within(started(stack), SIGN_IN)

    assert len(_counted(capsys)) == 1


@pytest.mark.parametrize("url", ["", "nonsense", "https://", "http://[", "http://127.0.0.1:port/"])
def test_with_no_queue_that_can_be_the_function_starts(function: Start, url: str) -> None:
    _within(function(url), SIGN_IN)


@given(event=json_values | st.dictionaries(st.sampled_from(sorted(SIGN_IN)), json_values).map(lambda each: {**SIGN_IN, **each}))
def test_whatever_event_comes_is_returned_as_it_is(event: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOURCE_EVENTS_QUEUE_URL", raising=False)
        _within(load("cognito_sign_in"), event)


@pytest.mark.parametrize("event", [float("nan"), b"octets", object, {1: 2}, {"triggerSource": []}, {"triggerSource": {}}])
def test_even_what_is_no_json_is_returned(function: Start, event: Any) -> None:
    assert function("http://127.0.0.1:9/1/queue").handler(event, None) is event
