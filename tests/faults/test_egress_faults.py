import contextlib
import gzip
import itertools
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
import trustme

from backchannel.deliveries import outcomes
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.egress.post import Egress, Response
from backchannel.errors import (
    AddressForbidden,
    AnswerMalformed,
    ConnectFailed,
    ConnectionReset,
    ConnectTimeout,
    DeadlineExceeded,
    DnsFailure,
    ReadTimeout,
    RelyingPartyFault,
    TlsFailed,
    TlsTimeout,
)
from tests.faults.conftest import MakeEgress, resolver, server_context, within
from tests.faults.servers import (
    OK,
    Behaviour,
    Peer,
    Server,
    answers,
    answers_once,
    answers_then_ends,
    answers_then_hangs,
    answers_then_resets,
    drips,
    drips_a_handshake,
    floods,
    full_backlog,
    hangs,
    resets,
    sends_then_resets,
    sips,
)

LOOPBACK = ("127.0.0.0/8", "::1/128")
BODY = b"logout_token=a.b.c"
HEAD = b"HTTP/1.1 200 OK\r\n"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
SOON = range(4, 7)
"""Seconds until the second attempt, unless the RP asks for more."""

AT_ONCE = 1.5
"""Seconds: less than any timeout that ships."""

CONNECT, READ, DEADLINE = 0.55, 0.75, 0.75
"""Seconds within which the impatient egress gives up, with some for a busy machine."""

zeros = itertools.repeat(b"0")
TIRED = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HI = b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
chunked = b"Transfer-Encoding: chunked\r\n\r\n"

SLOW: dict[str, tuple[Behaviour, type[RelyingPartyFault]]] = {
    "hung headers": (answers_then_hangs(b""), ReadTimeout),
    "headers hung half-way": (answers_then_hangs(HEAD), ReadTimeout),
    "hung body": (answers_then_hangs(HEAD + b"Content-Length: 9\r\n\r\n"), ReadTimeout),
    "dripped status": (drips(b"", itertools.chain([b"HTTP/1.1 200 "], zeros)), DeadlineExceeded),
    "dripped headers": (drips(HEAD + b"X: ", zeros), DeadlineExceeded),
    "dripped body": (drips(HEAD + b"Content-Length: 99\r\n\r\n", zeros), DeadlineExceeded),
    "dripped body without end": (drips(HEAD + b"\r\n", zeros), DeadlineExceeded),
    "dripped chunk size": (drips(HEAD + chunked, zeros), DeadlineExceeded),
    "dripped chunk extension": (drips(HEAD + chunked + b"1;", zeros), DeadlineExceeded),
    "dripped trailers": (drips(HEAD + chunked + b"0\r\n", itertools.repeat(b"X: 0\r\n")), DeadlineExceeded),
    "dripped interim answers": (drips(b"", itertools.repeat(b"HTTP/1.1 100 C\r\n\r\n")), DeadlineExceeded),
}

BROKEN: dict[str, tuple[Behaviour, type[RelyingPartyFault]]] = {
    "endless interim answers": (floods(b"", b"HTTP/1.1 100 C\r\n\r\n" * 99), AnswerMalformed),
    "endless early hints": (floods(b"", b"HTTP/1.1 103 E\r\nLink: </>\r\n\r\n" * 99), AnswerMalformed),
    "endless status": (floods(b"HTTP/1.1 200 ", b"0" * 9999), AnswerMalformed),
    "endless header": (floods(HEAD + b"X: ", b"0" * 9999), AnswerMalformed),
    "endless headers without a colon": (floods(HEAD, b"0" * 99 + b"\r\n"), AnswerMalformed),
    "too many headers": (floods(HEAD, b"X: 0\r\n"), AnswerMalformed),
    "too large headers": (answers_once(HEAD + (b"X: " + b"0" * 9999 + b"\r\n") * 9 + b"\r\n"), AnswerMalformed),
    "headers in the smallest of pieces": (drips(HEAD + b"X: ", itertools.repeat(b"0", 64_000), every=0), AnswerMalformed),
    "endless chunk extension": (floods(HEAD + chunked + b"1;", b"0" * 9999), AnswerMalformed),
    "endless trailer": (floods(HEAD + chunked + b"0\r\nX: ", b"0" * 9999), AnswerMalformed),
    "endless trailers": (floods(HEAD + chunked + b"0\r\n", b"X: 0\r\n" * 99), AnswerMalformed),
    "chunk of negative size": (answers_once(HEAD + chunked + b"-5\r\n0"), AnswerMalformed),
    "chunk of size -1": (answers_then_hangs(HEAD + chunked + b"-1\r\n0"), AnswerMalformed),
    "garbage": (answers_once(b"SSH-2.0-OpenSSH_9.2\r\n"), AnswerMalformed),
    "another protocol version": (answers_once(b"HTTP/2.0 200 OK\r\n\r\n"), AnswerMalformed),
    "status that is no number": (answers_once(b"HTTP/1.1 OK\r\n\r\n"), AnswerMalformed),
    "closed without an answer": (answers_once(b""), ConnectionReset),
    "reset without an answer": (resets, ConnectionReset),
    "reset within the headers": (sends_then_resets(HEAD), ConnectionReset),
    "reset within the body": (sends_then_resets(HEAD + b"Content-Length: 9\r\n\r\n0"), ConnectionReset),
    "reset within a chunk": (sends_then_resets(HEAD + chunked + b"9\r\n0"), ConnectionReset),
    "reset where only closing ends the body": (sends_then_resets(HEAD + b"\r\n0"), ConnectionReset),
    "closed within the status": (answers_once(b"HTTP/1.1 200"), ConnectionReset),
    "closed within the headers": (answers_once(HEAD + b"Content-Length: 0"), ConnectionReset),
    "closed within the body": (answers_once(HEAD + b"Content-Length: 9\r\n\r\n0"), ConnectionReset),
    "closed within a chunk": (answers_once(HEAD + chunked + b"9\r\n0"), ConnectionReset),
}

ODD: dict[str, bytes] = {
    "a space before the colon of a header": HEAD + b"X-XSS-Protection : 1\r\n" + HI,
    "a space before the colon of the length": HEAD + b"Content-Type: text/plain\r\nContent-Length : 2\r\n\r\nhi",
    "a header line without a colon": HEAD + b"nonsense\r\n" + HI,
    "NUL in a value": HEAD + b"X: a\0b\r\n" + HI,
    "the same length twice": HEAD + b"Content-Length: 2\r\n" + HI,
    "the same length twice in a header": HEAD + b"Content-Type: text/plain\r\nContent-Length: 2, 2\r\n\r\nhi",
    "line feeds alone": (HEAD + HI).replace(b"\r\n", b"\n"),
    "a folded header": HEAD + b"X: a\r\n b\r\n\tc\r\n" + HI,
    "a chunked body after a header that is none": HEAD
    + b"X Y Z\r\nContent-Type: text/plain\r\nTransfer-Encoding : chunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "more headers than http.client takes": HEAD + b"X: 0\r\n" * 300 + HI,
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + HI,
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink : </>\r\nX\r\n\r\n" * 3 + HEAD + HI,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + HI,
}
"""Responses that break a rule of HTTP, or use one that is rare, and that other clients read; the connection stays open."""

IDLE: dict[str, Callable[[Peer], None]] = {
    "http: FIN": Peer.close,
    "http: RST": Peer.reset,
    "http: another answer": lambda peer: peer.socket.sendall(OK),
    "http: 408": lambda peer: peer.socket.sendall(TIRED),
    "https: FIN": Peer.close,
    "https: RST": Peer.reset,
    "https: close_notify": Peer.end_tls,
    "https: another answer": lambda peer: peer.socket.sendall(OK),
    "https: 408": lambda peer: peer.socket.sendall(TIRED),
}
"""What a server may do while nobody asks it for anything."""


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on loopback here")


def decided(answer: Response, *, attempts: int = 1, last_status_code: int | None = None) -> Outcome:
    """What a delivery makes of an answer that came at NOW."""
    return outcomes.decide(
        answer.status,
        attempts=attempts,
        last_status_code=last_status_code,
        age=0,
        deadline=86_400_000,
        retry_after=outcomes.parse_retry_after(answer.retry_after, round(NOW * 1000)),
        rng=Random(0),  # noqa: S311 - spreads retries
    )


def seconds(outcome: Outcome) -> int | None:
    """How long the delivery waits for its next attempt."""
    return None if outcome.delay is None else round(outcome.delay / 1000)


@contextlib.contextmanager
def raises_within(seconds: float, fault: type[RelyingPartyFault]) -> Iterator[None]:
    with within(seconds), pytest.raises(fault) as raised:
        yield
    assert raised.type is fault


# --- What came of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_relying_party_is_given_up_in_time(
    name: str, impatient_egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    behaviour, fault = SLOW[name]
    with Server(behaviour, tls) as server:
        uri = f"https://rp.test:{server.port}/logout"

        with raises_within(DEADLINE, fault):
            impatient_egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert server.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_relying_party_is_named_for_what_it_did(
    name: str, scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    behaviour, fault = BROKEN[name]
    with Server(behaviour, tls if scheme == "https" else None) as server:
        uri = f"{scheme}://rp.test:{server.port}/logout"

        with raises_within(AT_ONCE, fault):
            egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert server.connections == 1


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (OK, Response(200, None, b"", None, "127.0.0.1")),
        (
            HEAD + b"Content-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi",
            Response(200, None, b"hi", "text/plain", "127.0.0.1"),
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", Response(200, None, b"hi", None, "127.0.0.1")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, None, b"", None, "127.0.0.1")),
        (b"HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n", Response(202, None, b"", None, "127.0.0.1")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Response(200, None, b"", None, "127.0.0.1")),
        (b"HTTP/1.1 102 Processing\r\n\r\n" + OK, Response(200, None, b"", None, "127.0.0.1")),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + OK, Response(200, None, b"", None, "127.0.0.1")),
        (
            b"HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
            Response(429, "120", b"", None, "127.0.0.1"),
        ),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: " + b"9" * 999 + b"\r\nContent-Length: 0\r\n\r\n",
            Response(503, "9" * 256, b"", None, "127.0.0.1"),
        ),
    ],
)
def test_an_answer_is_reported_as_it_came(
    response: bytes, expected: Response, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    with Server(answers(response), tls) as server, within(AT_ONCE):
        answer = egress.post(f"https://rp.test:{server.port}/logout", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

    assert answer == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ODD)
def test_a_response_that_other_clients_read_is_read(
    name: str, scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    with Server(answers_then_hangs(ODD[name]), tls if scheme == "https" else None) as server, within(AT_ONCE):
        uri = f"{scheme}://rp.test:{server.port}/"
        response = egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

    assert response == Response(200, None, b"hi", "text/plain", "127.0.0.1")


def test_a_status_without_a_body_is_enough_though_chunks_are_announced(egress: Egress) -> None:
    with Server(answers_then_hangs(b"HTTP/1.1 204 No Content\r\n" + chunked)) as server, within(AT_ONCE):
        response = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert (response.status, response.body) == (204, b"")


def test_an_answer_of_an_old_server_ends_where_it_closes(egress: Egress) -> None:
    with Server(answers_once(b"HTTP/1.0 200 OK\r\n\r\nbye")) as server, within(AT_ONCE):
        answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert (answer.status, answer.body) == (200, b"bye")


def test_an_answer_that_comes_before_the_request_was_read_counts(egress: Egress) -> None:
    def hasty(peer: Peer) -> None:
        peer.socket.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with Server(hasty) as server, within(AT_ONCE):
        answer = egress.post(f"http://rp.test:{server.port}/", b"0" * 20_000_000, allowed_networks=LOOPBACK)

    assert answer.status == 413


def test_an_encoded_body_is_not_decoded(egress: Egress) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)[:1000]
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n"

    with Server(answers(head + bomb)) as server:
        answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert answer.body == bomb


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (b"\r\n", b"0" * 65_536),
        (b"Content-Length: 99999999999\r\n\r\n", b"0" * 65_536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"0" * 65_536 + b"\r\n"),
    ],
    ids=["until closed", "Content-Length", "chunked"],
)
def test_an_endless_body_is_cut_and_its_connection_closed(head: bytes, flood: bytes, egress: Egress) -> None:
    with Server(floods(HEAD + head, flood)) as server, within(AT_ONCE):
        uri = f"http://rp.test:{server.port}/"
        egress.post(uri, BODY, allowed_networks=LOOPBACK)
        tracemalloc.start()

        answer = egress.post(uri, BODY, allowed_networks=LOOPBACK)

        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer.body == b"0" * 4096
        assert peak < 300_000
        assert server.connections == 2


def test_the_rest_of_a_body_is_never_taken_for_the_next_answer(egress: Egress) -> None:
    with Server(answers(HEAD + b"Content-Length: 9999\r\n\r\n" + b"0" * 4096)) as server, within(AT_ONCE):
        for _ in range(2):
            answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

            assert answer.body == b"0" * 4096

        assert server.connections == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("size", [1, 9000, 16_000])
def test_more_than_a_response_is_never_taken_for_the_next(
    size: int, scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    more = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".rjust(size, b"0")
    with Server(answers(HEAD + HI + more), tls if scheme == "https" else None) as server, within(AT_ONCE):
        for _ in range(2):
            uri = f"{scheme}://rp.test:{server.port}/"
            response = egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

            assert (response.status, response.body) == (200, b"hi")

        assert server.connections == 2


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"", ConnectionReset),
        (HEAD + b"Content-Length: 0\r\n", ConnectionReset),
        (HEAD + b"Content-Length: 9\r\n\r\n0", ConnectionReset),
        (HEAD + chunked + b"9\r\n0", ConnectionReset),
    ],
    ids=["nothing", "headers", "body", "chunk"],
)
def test_a_close_notify_within_a_response_is_its_end(
    sent: bytes, fault: type[RelyingPartyFault], egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    def ends(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(sent)
        peer.end_tls()
        peer.stopped.wait()

    with Server(ends, tls) as server, raises_within(AT_ONCE, fault):
        egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)


def test_a_response_in_records_of_one_octet_is_read_or_refused_early(egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    def cut(response: bytes) -> Behaviour:
        return drips(b"", (bytes([octet]) for octet in response), every=0)

    long = HEAD + b"X: " + b"0" * 64_000 + b"\r\n" + HI
    for response, expected in ((HEAD + HI, 200), (long, "in 1025 pieces")):
        with Server(cut(response), tls) as server, within(AT_ONCE):
            uri = f"https://rp.test:{server.port}/"
            try:
                result: int | str = egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle).status
            except AnswerMalformed as fault:
                result = str(fault)

        assert result == expected or str(result).endswith(str(expected))


@pytest.mark.parametrize(
    ("answered", "expected", "delays"),
    [
        ([200], Outcome(Status.ACCEPTED, "http_200"), None),
        ([204], Outcome(Status.ACCEPTED, "http_204"), None),
        ([400], Outcome(Status.RETRYING, "http_400"), range(48, 73)),
        ([400, 400], Outcome(Status.REJECTED, "http_400"), None),
        ([503, 400], Outcome(Status.RETRYING, "http_400"), range(48, 73)),
        ([302], Outcome(Status.REJECTED, "http_302"), None),
        ([401], Outcome(Status.REJECTED, "http_401"), None),
        ([403], Outcome(Status.REJECTED, "http_403"), None),
        ([404], Outcome(Status.REJECTED, "http_404"), None),
        ([408], Outcome(Status.RETRYING, "http_408"), SOON),
        ([410], Outcome(Status.REJECTED, "http_410"), None),
        ([425], Outcome(Status.RETRYING, "http_425"), SOON),
        ([429], Outcome(Status.RETRYING, "http_429"), SOON),
        ([500], Outcome(Status.RETRYING, "http_500"), SOON),
        ([503], Outcome(Status.RETRYING, "http_503"), SOON),
    ],
)
def test_a_status_has_its_outcome(answered: list[int], expected: Outcome, delays: range | None, egress: Egress) -> None:
    outcome, last = None, None
    with Server(answers(*(b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % status for status in answered))) as server:
        for attempts, _ in enumerate(answered, 1):
            answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)
            outcome = decided(answer, attempts=attempts, last_status_code=last)
            last = answer.status

    assert outcome is not None
    assert replace(outcome, delay=None) == expected
    assert seconds(outcome) is None if delays is None else seconds(outcome) in delays


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "delays"),
    [
        (b"120", [120]),
        (b" 120\t", [120]),
        (b"Thu, 26 Nov 2026 12:05:00 GMT", [300]),
        (b"Thursday, 26-Nov-26 12:05:00 GMT", [300]),
        (b"Thu, 26 Nov 2026 11:55:00 GMT", SOON),
        (b"0", SOON),
        (b"-120", SOON),
        (b"", SOON),
        (b"soon", SOON),
        (b"Thu, 99 Nov 2026 12:05:00 GMT", SOON),
        (b"\xff" * 999, SOON),
        (b"86400", [3600]),
        (b"999999999", [3600]),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", [3600]),
    ],
)
def test_a_relying_party_gets_the_time_that_it_asks_for_up_to_an_hour(
    retry_after: bytes, delays: Sequence[int], status: int, egress: Egress
) -> None:
    response = b"HTTP/1.1 %d Later\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % (status, retry_after)
    with Server(answers(response)) as server:
        answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert seconds(decided(answer)) in delays


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_reported_and_never_followed(code: int, egress: Egress) -> None:
    with Server(answers(OK)) as trap:
        location = f"Location: http://rp.test:{trap.port}/trap\r\nContent-Length: 0\r\n\r\n".encode()
        with Server(answers(b"HTTP/1.1 %d Elsewhere\r\n" % code + location)) as server:
            answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        assert answer.status == code
        assert trap.connections == 0


@pytest.mark.parametrize("name", ["expired", "silent", "broken", "refused"])
def test_a_fault_names_the_address_that_was_dialled_and_the_reason(
    name: str, impatient_egress: Egress, authority: trustme.CA, ca_bundle: str
) -> None:
    expired = server_context(authority, "rp.test", not_after=datetime(2021, 1, 1, tzinfo=UTC))
    behaviour, context, reason = {
        "expired": (answers(OK), expired, "certificate has expired"),
        "silent": (answers_then_hangs(HEAD), None, "17 octets of an answer received"),
        "broken": (answers_once(b"SSH-2.0\r\n"), None, "."),
        "refused": (hangs, None, "refused"),
    }[name]
    with Server(behaviour, context) as server, contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1] if name == "refused" else server.port
        uri = f"{'https' if context else 'http'}://rp.test:{port}/"

        with pytest.raises(RelyingPartyFault, match=reason) as raised:
            impatient_egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

    assert raised.value.address == "127.0.0.1"


@pytest.mark.parametrize("bad", ["169.254.169.254", None])
def test_a_fault_before_any_dialling_names_no_address(bad: str | None, make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver([bad] if bad else []))

    with pytest.raises(RelyingPartyFault, match=bad or "no address") as raised:
        egress.post("https://rp.test/", BODY)

    assert raised.value.address is None


@pytest.mark.parametrize(
    "line", [b"%b\r\n", b"HTTP/1.1 %b\r\n", HEAD + b"Content-Length: %b\r\n\r\n", HEAD + chunked + b"%b\r\n"]
)
def test_a_fault_never_quotes_what_the_relying_party_said(line: bytes, egress: Egress) -> None:
    def echoes(peer: Peer) -> None:
        peer.socket.sendall(line % peer.read_request().rpartition(b"\r\n")[2])

    with Server(echoes) as server, pytest.raises(RelyingPartyFault) as raised:
        egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert "a.b.c" not in str(raised.value)


# --- What is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registered", "target"),
    [
        ("/logout?tenant=a%2fb&x=%7e~&&y=+%20;=?/'!$(*)", "/logout?tenant=a%2fb&x=%7e~&&y=+%20;=?/'!$(*)"),
        ("/a/../b/./c//d", "/a/../b/./c//d"),
        ("/cb?", "/cb?"),
        ("?x=1", "/?x=1"),
        ("", "/"),
    ],
)
def test_the_request_is_exactly_this(registered: str, target: str, egress: Egress) -> None:
    cookie = HEAD + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with Server(answers(cookie)) as server:
        for _ in range(2):
            egress.post(f"http://RP.test:{server.port}{registered}", BODY, allowed_networks=LOOPBACK)

        expected = (
            f"POST {target} HTTP/1.1\r\nHost: rp.test:{server.port}\r\nAccept-Encoding: identity\r\n"
            "Content-Length: 18\r\nUser-Agent: backchannel\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        assert server.requests == [expected.encode() + BODY] * 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_of_the_environment_are_ignored(
    scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(answers(OK)) as trap, Server(answers(OK), tls if scheme == "https" else None) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{trap.port}")

        egress.post(f"{scheme}://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert trap.connections == 0


@pytest.mark.parametrize(("behaviour", "fault"), [(hangs, ReadTimeout), (sips, DeadlineExceeded)])
def test_a_request_that_is_not_read_is_given_up_in_time(
    behaviour: Behaviour, fault: type[RelyingPartyFault], impatient_egress: Egress
) -> None:
    with Server(behaviour) as server, raises_within(DEADLINE, fault):
        impatient_egress.post(f"http://rp.test:{server.port}/", b"0" * 20_000_000, allowed_networks=LOOPBACK)


# --- Names and addresses --------------------------------------------------------------------------------------------


def test_a_name_without_an_address_is_a_dns_failure(make_egress: MakeEgress) -> None:
    def fails(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolve in (fails, resolver([])):
        with raises_within(AT_ONCE, DnsFailure):
            make_egress(resolve=resolve).post("https://rp.test/", BODY)


def test_a_name_that_no_resolver_takes_is_a_dns_failure(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=socket.getaddrinfo)

    with raises_within(AT_ONCE, DnsFailure):
        egress.post(f"https://{'a' * 64}.test/", BODY)


def test_a_hanging_resolver_holds_up_neither_its_caller_nor_other_names(make_egress: MakeEgress) -> None:
    released = threading.Event()
    lookups = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        lookups.append(host)
        if host == "hanging.test":
            released.wait()
        return resolver("127.0.0.1")(host, port)

    post = make_egress(resolve=resolve, deadline=1.0).post
    with Server(answers(OK)) as server, ThreadPoolExecutor(40) as threads, contextlib.ExitStack() as stack, within(1.5):
        stack.callback(released.set)
        uris = [f"http://hanging.test:{server.port}/"] * 39
        hanging = [threads.submit(post, uri, BODY, allowed_networks=LOOPBACK) for uri in uris]

        answer = post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        faults = [type(future.exception()) for future in hanging]

    assert answer.status == 200
    assert faults == [DnsFailure] * 39
    assert sorted(lookups) == ["hanging.test", "rp.test"]


def test_all_the_names_that_ten_deliveries_at_a_time_can_leave_hanging_hold_up_no_other(make_egress: MakeEgress) -> None:
    released = threading.Event()

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host.startswith("hanging"):
            released.wait()
        return resolver("127.0.0.1")(host, port)

    post = make_egress(resolve=resolve, deadline=1.0).post
    with Server(answers(OK)) as server, ThreadPoolExecutor(40) as threads, contextlib.ExitStack() as stack, within(1.5):
        stack.callback(released.set)
        uris = [f"http://hanging{number}.test:{server.port}/" for number in range(40)]
        hanging = [threads.submit(post, uri, BODY, allowed_networks=LOOPBACK) for uri in uris]

        answer = post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        faults = [type(future.exception()) for future in hanging]

    assert answer.status == 200
    assert faults == [DnsFailure] * 40


def test_the_deadline_counts_the_time_of_the_resolver(make_egress: MakeEgress) -> None:
    def slow(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        threading.Event().wait(0.3)
        return resolver("127.0.0.1")(host, port)

    egress = make_egress(resolve=slow, read_timeout=0.4, deadline=0.5)
    with Server(hangs) as server, raises_within(0.69, DeadlineExceeded):
        egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)


@pytest.mark.parametrize("bad", ["169.254.169.254", "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo"])
def test_one_forbidden_address_in_an_answer_spoils_all(bad: str, make_egress: MakeEgress) -> None:
    with Server(answers(OK)) as server:
        for answer in (["127.0.0.1", bad], [bad, "127.0.0.1"]):
            egress = make_egress(resolve=resolver(answer))

            with raises_within(AT_ONCE, AddressForbidden):
                egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        assert server.connections == 0


def test_a_name_that_changes_its_mind_is_vetted_anew(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver("127.0.0.1", "169.254.169.254"))
    with Server(answers_once(HEAD + b"Connection: close\r\n\r\n")) as server:
        uri = f"http://rp.test:{server.port}/"

        assert egress.post(uri, BODY, allowed_networks=LOOPBACK).address == "127.0.0.1"
        with raises_within(AT_ONCE, AddressForbidden):
            egress.post(uri, BODY, allowed_networks=LOOPBACK)

        assert server.connections == 1


def test_the_address_that_was_vetted_is_the_one_that_is_dialled(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver("127.0.0.2", "127.0.0.3"))
    with Server(answers(OK)) as server, pytest.raises(ConnectFailed):
        egress.post(f"http://localhost:{server.port}/", BODY, allowed_networks=LOOPBACK)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver(["127.0.0.2", "127.0.0.1"]))
    with Server(answers(OK)) as server, within(AT_ONCE):
        answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

    assert answer.address == "127.0.0.1"


@pytest.mark.parametrize(("position", "reached"), [(4, True), (5, False)])
def test_no_more_than_four_addresses_are_dialled(position: int, reached: bool, make_egress: MakeEgress) -> None:  # noqa: FBT001
    egress = make_egress(resolve=resolver([f"127.0.0.{last}" for last in range(position, 0, -1)]))
    with Server(answers(OK)) as server, within(AT_ONCE):
        with contextlib.nullcontext() if reached else pytest.raises(ConnectFailed):
            egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        assert server.connections == int(reached)


@pytest.mark.parametrize("uri", ["https://127.0.0.1:{}/", "https://127.1:{}/", "https://2130706433:{}/", "http://127.0.0.1:{}/"])
def test_loopback_is_closed_in_every_spelling(uri: str, make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=socket.getaddrinfo)
    with Server(answers(OK)) as server:
        with raises_within(AT_ONCE, AddressForbidden):
            egress.post(uri.format(server.port), BODY)

        assert server.connections == 0


def test_http_leads_into_allowed_networks_only(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver("1.1.1.1"))
    for allowed_networks in ((), LOOPBACK):
        with raises_within(AT_ONCE, AddressForbidden):
            egress.post("http://rp.test/", BODY, allowed_networks=allowed_networks)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://rp.test/",
        "//rp.test/",
        "https:///",
        "https://u:p@rp.test/",
        "http\N{LATIN SMALL LETTER LONG S}://rp.test/",
        "https://\N{KELVIN SIGN}.test/",
        "https://rp.test:0/",
        "https://rp.test:99999/",
        "https://[fe80::1%25lo]/",
        "https://é.test/",
        "https://rp.test/#f",
        "https://rp.test/a b",
        "https://rp.test/\r\nX: 1",
    ],
)
def test_what_registration_refuses_is_refused_here_too(uri: str, egress: Egress) -> None:
    with raises_within(AT_ONCE, AddressForbidden):
        egress.post(uri, BODY, allowed_networks=LOOPBACK)


@pytest.mark.parametrize(
    ("literal", "family"), [("127.0.0.1", socket.AF_INET), pytest.param("[::1]", socket.AF_INET6, marks=needs_ipv6)]
)
def test_a_literal_address_is_dialled_without_a_resolver(
    literal: str, family: socket.AddressFamily, make_egress: MakeEgress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    egress = make_egress(resolve=resolver([]))
    with Server(answers(OK), tls, family) as server:
        answer = egress.post(f"https://{literal}:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert answer.address == literal.strip("[]")
        assert f"Host: {literal}:{server.port}\r\n".encode() in server.requests[0]


# --- TCP and TLS ----------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_a_connect_failure(egress: Egress) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        with raises_within(AT_ONCE, ConnectFailed):
            egress.post(f"https://rp.test:{unused.getsockname()[1]}/", BODY, allowed_networks=LOOPBACK)


def test_a_connection_that_does_not_come_about_is_a_connect_timeout(make_egress: MakeEgress) -> None:
    egress = make_egress(resolve=resolver(["127.0.0.1", "::ffff:127.0.0.1"]), connect_timeout=0.3)
    with full_backlog() as port, raises_within(CONNECT, ConnectTimeout):
        egress.post(f"https://rp.test:{port}/", BODY, allowed_networks=LOOPBACK)


@pytest.mark.parametrize("behaviour", [hangs, drips_a_handshake])
def test_a_handshake_that_does_not_end_is_a_tls_timeout(behaviour: Behaviour, impatient_egress: Egress) -> None:
    with Server(behaviour) as server, raises_within(READ, TlsTimeout):
        impatient_egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)


@pytest.mark.parametrize("end", [Peer.reset, Peer.close])
def test_a_handshake_that_breaks_off_is_a_passing_trouble(end: Callable[[Peer], None], egress: Egress) -> None:
    def breaks_off(peer: Peer) -> None:
        peer.socket.recv(65_536)
        end(peer)

    with Server(breaks_off) as server, raises_within(AT_ONCE, ConnectionReset):
        egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)


def test_a_server_that_speaks_no_tls_is_a_tls_failure(egress: Egress) -> None:
    def plain(peer: Peer) -> None:
        peer.socket.recv(65_536)
        peer.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Server(plain) as server, raises_within(AT_ONCE, TlsFailed):
        egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)


def test_an_expired_certificate_is_refused(egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    expired = server_context(authority, "rp.test", not_after=datetime(2021, 1, 1, tzinfo=UTC))
    with Server(answers(OK), expired) as server:
        with raises_within(AT_ONCE, TlsFailed):
            egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert server.requests == []


@pytest.mark.parametrize("name", ["other.test", "127.0.0.1", "*.rp.test"])
def test_a_certificate_of_another_host_is_refused(name: str, egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    with Server(answers(OK), server_context(authority, name)) as server:
        with raises_within(AT_ONCE, TlsFailed):
            egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert server.requests == []


def test_a_certificate_of_a_private_authority_is_trusted_for_its_client_only(
    egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    stranger = trustme.CA().cert_pem.bytes().decode()
    with Server(answers(OK), tls) as server:
        uri = f"https://rp.test:{server.port}/"

        assert egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle).status == 200
        for bundle in (None, stranger):
            with raises_within(AT_ONCE, TlsFailed):
                egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=bundle)

        assert len(server.requests) == 1


def test_a_name_that_no_certificate_can_be_for_is_a_tls_failure(egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with Server(answers(OK), tls) as server, raises_within(AT_ONCE, TlsFailed):
        egress.post(f"https://.rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)


@pytest.mark.parametrize("bundle", ["no PEM", "é", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_is_not_pem_is_a_tls_failure(bundle: str, egress: Egress) -> None:
    with raises_within(AT_ONCE, TlsFailed):
        egress.post("https://rp.test/", BODY, allowed_networks=LOOPBACK, ca_bundle=bundle)


def test_sni_is_the_name_of_the_host(egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    names: list[str | None] = []
    context = server_context(authority, "rp.test")
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    with Server(answers(OK), context) as server:
        egress.post(f"https://rp.test.:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

    assert names == ["rp.test"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_a_server_with_nothing_better_than_tls_1_1_is_refused(egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    old = server_context(authority, "rp.test")
    lenient = ssl.create_default_context(cadata=ca_bundle)
    for context in (old, lenient):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")

    with Server(answers(OK), old) as server:
        with raises_within(AT_ONCE, TlsFailed):
            egress.post(f"https://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        with socket.create_connection(("127.0.0.1", server.port)) as plain:  # the server is not just broken
            lenient.wrap_socket(plain, server_hostname="rp.test").close()


# --- Connections that are kept --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_is_kept_for_the_next_post(scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with Server(answers(OK), tls if scheme == "https" else None) as server:
        for path in "abc":
            uri = f"{scheme}://rp.test:{server.port}/{path}"
            egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert server.connections == 1
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("scheme", "behaviour"),
    [
        ("http", answers_then_ends(OK, Peer.close)),
        ("http", answers_then_resets(OK)),
        ("https", answers_then_ends(OK, Peer.close)),
        ("https", answers_then_ends(OK, Peer.end_tls)),
        ("https", answers_then_resets(OK)),
    ],
    ids=["http: FIN", "http: RST", "https: FIN", "https: close_notify", "https: RST"],
)
def test_a_kept_connection_that_turns_out_dead_is_dialled_again(
    scheme: str, behaviour: Behaviour, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    with Server(behaviour, tls if scheme == "https" else None) as server, within(AT_ONCE):
        for _ in range(3):
            uri = f"{scheme}://rp.test:{server.port}/"
            answer = egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

            assert answer.status == 200

        assert server.connections == 3


def test_a_kept_connection_that_breaks_off_within_its_answer_is_not_dialled_again(egress: Egress) -> None:
    def breaks_off(peer: Peer) -> None:
        answers_once(OK)(peer)
        answers_once(HEAD + b"Content-Length: 9\r\n\r\n0")(peer)

    with Server(breaks_off) as server:
        uri = f"http://rp.test:{server.port}/"
        egress.post(uri, BODY, allowed_networks=LOOPBACK)

        with raises_within(AT_ONCE, ConnectionReset):
            egress.post(uri, BODY, allowed_networks=LOOPBACK)

        assert server.connections == 1


@pytest.mark.parametrize("name", IDLE)
def test_what_a_server_does_on_an_idle_connection_is_never_taken_for_the_next_answer(
    name: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    scheme = name.partition(":")[0]
    answered, done = threading.Event(), threading.Event()

    def acts(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        answered.wait()
        IDLE[name](peer)
        done.set()
        peer.stopped.wait()

    with Server(acts, tls if scheme == "https" else None) as server, contextlib.ExitStack() as stack, within(AT_ONCE):
        stack.callback(answered.set)
        uri = f"{scheme}://rp.test:{server.port}/"
        egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)
        answered.set()
        done.wait()

        answer = egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle)

        assert answer.status == 202
        assert server.connections == 2


@pytest.mark.parametrize("idle", [31, 900, -900])
def test_a_connection_that_was_idle_for_long_may_be_dead_and_is_not_used(idle: int, make_egress: MakeEgress) -> None:
    wall_clock = itertools.chain([1_788_256_800], itertools.repeat(1_788_256_800 + idle)).__next__
    egress = make_egress(wall_clock=wall_clock)
    with Server(answers_then_hangs(OK)) as server, within(AT_ONCE):
        for _ in range(2):
            answer = egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

            assert answer.status == 200

        assert server.connections == 2


def test_a_connection_that_was_idle_for_less_is_used(make_egress: MakeEgress) -> None:
    wall_clock = itertools.count(1_788_256_800, 29).__next__
    egress = make_egress(wall_clock=wall_clock)
    with Server(answers(OK)) as server:
        for _ in range(2):
            egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        assert server.connections == 1


def test_a_kept_connection_that_falls_silent_is_not_dialled_again(impatient_egress: Egress) -> None:
    with Server(answers_then_hangs(OK)) as server:
        uri = f"http://rp.test:{server.port}/"
        impatient_egress.post(uri, BODY, allowed_networks=LOOPBACK)

        with raises_within(READ, ReadTimeout):
            impatient_egress.post(uri, BODY, allowed_networks=LOOPBACK)

        assert server.connections == 1


def test_a_connection_serves_no_policy_but_the_one_it_was_vetted_under(
    egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    with Server(answers(OK), tls) as server:
        uri = f"https://rp.test:{server.port}/"
        for networks in (("127.0.0.0/8",), ("127.0.0.1/32",), ("127.0.0.0/8",)):
            egress.post(uri, BODY, allowed_networks=networks, ca_bundle=ca_bundle)

        with raises_within(AT_ONCE, AddressForbidden):
            egress.post(uri, BODY, ca_bundle=ca_bundle)

        assert server.connections == 2


def test_concurrent_posts_share_no_connection_and_keep_theirs(egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    together = threading.Barrier(10)

    def answers_together(peer: Peer) -> None:
        while peer.read_request():
            together.wait(timeout=5)
            peer.socket.sendall(OK)

    with Server(answers_together, tls) as server, ThreadPoolExecutor(10) as threads:
        for _ in range(3):
            posts = [
                threads.submit(
                    egress.post,
                    f"https://rp.test:{server.port}/{number}",
                    BODY,
                    allowed_networks=LOOPBACK,
                    ca_bundle=ca_bundle,
                )
                for number in range(10)
            ]
            assert [post.result().status for post in posts] == [200] * 10

        assert server.connections == 10


def test_too_many_idle_connections_push_out_the_least_recently_used(make_egress: MakeEgress) -> None:
    egress = make_egress(idle_connections=2)
    with Server(answers(OK)) as first, Server(answers(OK)) as second, Server(answers(OK)) as third:
        for server in (first, second, first, third, first, second):
            egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)

        assert [server.connections for server in (first, second, third)] == [1, 2, 1]


def test_of_two_connections_to_one_relying_party_the_older_is_pushed_out(make_egress: MakeEgress) -> None:
    egress = make_egress(idle_connections=3)
    arrived, release = threading.Event(), threading.Event()

    def waits_for_the_slow(peer: Peer) -> None:
        while request := peer.read_request():
            if request.startswith(b"POST /slow"):
                arrived.set()
                release.wait()
            peer.socket.sendall(OK)

    def post(server: Server, path: str = "") -> None:
        egress.post(f"http://rp.test:{server.port}/{path}", BODY, allowed_networks=LOOPBACK)

    with contextlib.ExitStack() as stack:
        twice, once, last = (
            stack.enter_context(Server(behaviour)) for behaviour in (waits_for_the_slow, answers(OK), answers(OK))
        )
        threads = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(release.set)
        slow = threads.submit(post, twice, "slow")
        arrived.wait()
        for server in (twice, once):
            post(server)
        release.set()
        slow.result()
        for server in (last, twice, once):  # the fourth to be idle pushes one out
            post(server)

        assert [server.connections for server in (twice, once, last)] == [2, 1, 1]


def test_by_default_one_byte_per_second_is_borne_for_eight_seconds(egress: Egress) -> None:
    with Server(drips(HEAD + b"X: ", zeros, every=1.0)) as server, raises_within(8.3, DeadlineExceeded):
        egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK)
