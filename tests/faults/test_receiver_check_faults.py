"""The receiver check's requests, to relying parties that are slow, break off, or never end."""

import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.issuer import Issuer
from backchannel_cli.receiver_check.keys import ThrowAwayKeys
from backchannel_cli.receiver_check.report import Outcome, Report
from backchannel_cli.receiver_check.run import MISSES, Check
from backchannel_cli.receiver_check.sending import READ_AT_MOST, Answer, NoAnswer, Sender, Target
from backchannel_cli.receiver_check.tokens import Mint
from tests.faults.conftest import within
from tests.faults.servers import (
    OK,
    Behaviour,
    Server,
    answers,
    answers_once,
    drips,
    drips_a_handshake,
    floods,
    full_backlog,
    hangs,
    resets,
    sends_then_resets,
    sips,
)

TIMEOUT_S = 0.4
LATE = "no complete answer within 0.4 s"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"


def endlessly(drop: bytes) -> Iterator[bytes]:
    while True:
        yield drop


@pytest.fixture
def post() -> Callable[..., Answer | NoAnswer]:
    def post(behaviour: Behaviour, tls: ssl.SSLContext | None = None, timeout: float = TIMEOUT_S) -> Answer | NoAnswer:
        with Server(behaviour, tls) as server, within(timeout * 4):
            scheme = "https" if tls else "http"
            return Sender(timeout).post(Target.parse(f"{scheme}://127.0.0.1:{server.port}/logout"), {"logout_token": "a.b.c"})

    return post


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    path = f"{tmp_path}/ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", path)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(hangs, LATE, id="hangs"),
        pytest.param(sips, LATE, id="sips"),
        pytest.param(drips(b"", endlessly(b"H")), LATE, id="drips a status line"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", endlessly(b"A: b\r\n")), LATE, id="drips headers"),
        pytest.param(drips(LONG, endlessly(b"x")), LATE, id="drips a body"),
        pytest.param(drips(b"", endlessly(b"HTTP/1.1 100 Continue\r\n\r\n")), LATE, id="says to continue for ever"),
        pytest.param(resets, "it broke the connection off", id="resets"),
        pytest.param(sends_then_resets(b"HTTP/1.1 200 OK\r\n"), "it broke the connection off", id="resets within the headers"),
        pytest.param(answers_once(b""), "it closed the connection without an answer", id="closes"),
        pytest.param(answers_once(b"SSH-2.0-x\r\n"), "its answer is not HTTP", id="is no web server"),
        pytest.param(floods(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 100), "its answer is not HTTP", id="floods headers"),
    ],
)
def test_what_goes_wrong_is_said_in_time(post: Callable[..., Answer | NoAnswer], behaviour: Behaviour, reason: str) -> None:
    answer = post(behaviour)

    assert isinstance(answer, NoAnswer)
    assert answer.reason == reason


def test_a_body_without_end_is_read_in_part(post: Callable[..., Answer | NoAnswer]) -> None:
    answer = post(floods(LONG, b"x" * 10_000), timeout=5)

    assert isinstance(answer, Answer)
    assert len(answer.body) == READ_AT_MOST


def test_a_redirect_is_not_followed() -> None:
    with Server(answers(OK)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/\r\n".encode()
        with Server(answers(b"HTTP/1.1 307 Temporary Redirect\r\n" + location + b"Content-Length: 0\r\n\r\n")) as server:
            answer = Sender(TIMEOUT_S).post(Target.parse(f"http://127.0.0.1:{server.port}/"), {})

        assert isinstance(answer, Answer)
        assert answer.status == 307
        assert elsewhere.connections == 0


def test_a_proxy_of_the_shell_is_not_used(monkeypatch: pytest.MonkeyPatch, post: Callable[..., Answer | NoAnswer]) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert isinstance(post(answers(OK), timeout=5), Answer)


def test_a_full_backlog_is_not_waited_for() -> None:
    with full_backlog() as port, within(TIMEOUT_S * 4):
        answer = Sender(TIMEOUT_S).post(Target.parse(f"http://127.0.0.1:{port}/"), {})

    assert isinstance(answer, NoAnswer)
    assert answer.reason == LATE


def test_nobody_listens() -> None:
    with Server(answers(OK)) as server:
        port = server.port

    answer = Sender(TIMEOUT_S).post(Target.parse(f"http://127.0.0.1:{port}/"), {})

    assert isinstance(answer, NoAnswer)
    assert "connection refused" in answer.reason


@pytest.mark.usefixtures("trusted")
def test_tls_with_an_authority_that_was_named_is_trusted(post: Callable[..., Answer | NoAnswer], tls: ssl.SSLContext) -> None:
    assert isinstance(post(answers(OK), tls, timeout=5), Answer)


def test_tls_with_an_unknown_authority_is_not(post: Callable[..., Answer | NoAnswer], tls: ssl.SSLContext) -> None:
    answer = post(answers(OK), tls, timeout=5)

    assert isinstance(answer, NoAnswer)
    assert answer.reason.startswith("its certificate is not trusted here")


def test_a_handshake_that_drips_ends_in_time() -> None:
    with Server(drips_a_handshake) as server, within(TIMEOUT_S * 4):
        answer = Sender(TIMEOUT_S).post(Target.parse(f"https://127.0.0.1:{server.port}/"), {})

    assert isinstance(answer, NoAnswer)
    assert answer.reason == LATE


@pytest.mark.usefixtures("trusted")
def test_a_body_that_drips_through_tls_ends_in_time(post: Callable[..., Answer | NoAnswer], tls: ssl.SSLContext) -> None:
    answer = post(drips(LONG, endlessly(b"x")), tls)

    assert isinstance(answer, NoAnswer)
    assert answer.reason == LATE


# --- whole checks ---------------------------------------------------------------------------------------------------------


def checked(behaviour: Behaviour) -> tuple[Report, int]:
    keys = ThrowAwayKeys.make("ES256")
    mint = Mint("http://127.0.0.1:9400", "receiver-check", {"sub": "alice"}, keys, lambda: 1_800_000_000, lambda: "jti")
    with Server(behaviour) as server:
        target = Target.parse(f"http://127.0.0.1:{server.port}/")
        return Check(target, mint, Issuer(mint, target.host), Sender(TIMEOUT_S)).run(), server.connections


@pytest.mark.parametrize("behaviour", [hangs, resets, drips(LONG, endlessly(b"x"))])
def test_a_check_gives_up_after_a_few_cases_without_an_answer(behaviour: Behaviour) -> None:
    report, connections = checked(behaviour)

    assert report.outcome is Outcome.UNREACHABLE
    assert connections == len(report.results) == MISSES
    assert f"{MISSES} of {len(CASES)} cases were sent" in " ".join(report.general())


def test_a_relying_party_that_breaks_off_now_and_then_is_asked_everything() -> None:
    seen = []

    def moody(peer: object) -> None:
        seen.append(peer)
        (resets if len(seen) % 2 == 0 else answers(OK))(peer)  # type: ignore[arg-type]

    report, connections = checked(moody)

    assert connections == len(report.results) == len(CASES)
    assert report.outcome is Outcome.CARELESS
