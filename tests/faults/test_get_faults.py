"""The GET of a document: whole or not at all, from servers that misbehave."""

import gzip
import itertools
import json
import ssl
from collections.abc import Callable

import pytest

from backchannel.egress.post import Egress
from backchannel.errors import (
    AddressForbidden,
    AnswerMalformed,
    ConnectionReset,
    DeadlineExceeded,
    ReadTimeout,
    RelyingPartyFault,
)
from tests.faults.conftest import MakeEgress, resolver
from tests.faults.servers import (
    OK,
    Behaviour,
    Server,
    answers,
    answers_once,
    answers_then_ends,
    answers_then_hangs,
    drips,
    floods,
    resets,
    sends_then_resets,
)
from tests.faults.test_egress_faults import AT_ONCE, BODY, DEADLINE, LOOPBACK, raises_within

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MAX_OCTETS = 262_144
DOCUMENT = json.dumps({"keys": [{"kid": "a" * 1000}] * 30}).encode()
"""Seven times as large as what is kept of the answer to a POST."""

SLOW: dict[str, tuple[Behaviour, type[RelyingPartyFault]]] = {
    "hung headers": (answers_then_hangs(HEAD), ReadTimeout),
    "hung body": (answers_then_hangs(HEAD + b"Content-Length: 9\r\n\r\n{"), ReadTimeout),
    "dripped headers": (drips(HEAD + b"X: ", itertools.repeat(b"0")), DeadlineExceeded),
    "dripped body": (drips(HEAD + b"Content-Length: 9999\r\n\r\n", itertools.repeat(b"0")), DeadlineExceeded),
    "dripped body without end": (drips(HEAD + b"\r\n", itertools.repeat(b"0")), DeadlineExceeded),
    "dripped chunks": (drips(CHUNKED, itertools.repeat(b"1\r\n0\r\n")), DeadlineExceeded),
}

BROKEN: dict[str, tuple[Behaviour, type[RelyingPartyFault]]] = {
    "a length that is too large": (answers_then_hangs(HEAD + b"Content-Length: 262145\r\n\r\n"), AnswerMalformed),
    "a length that no memory holds": (answers_then_hangs(HEAD + b"Content-Length: 9999999999999\r\n\r\n"), AnswerMalformed),
    "a chunk that is too large": (floods(CHUNKED + b"fffffff\r\n", b"0" * 9999), AnswerMalformed),
    "chunks without end": (floods(CHUNKED, b"3e8\r\n" + b"0" * 1000 + b"\r\n"), AnswerMalformed),
    "the smallest of chunks without end": (floods(CHUNKED, b"1\r\n0\r\n" * 999), AnswerMalformed),
    "a body without end": (floods(HEAD + b"\r\n", b"0" * 9999), AnswerMalformed),
    "headers without end": (floods(HEAD, b"X: 0\r\n" * 99), AnswerMalformed),
    "interim answers without end": (floods(b"", b"HTTP/1.1 100 C\r\n\r\n" * 99), AnswerMalformed),
    "gzip": (answers(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n123456789"), AnswerMalformed),
    "gzip in capitals": (answers(HEAD + b"CONTENT-ENCODING : GZip\r\nContent-Length: 9\r\n\r\n123456789"), AnswerMalformed),
    "identity and gzip": (answers(HEAD + b"Content-Encoding: identity, gzip\r\nContent-Length: 1\r\n\r\n1"), AnswerMalformed),
    "garbage": (answers_once(b"SSH-2.0-OpenSSH_9.2\r\n"), AnswerMalformed),
    "closed without an answer": (answers_once(b""), ConnectionReset),
    "closed within the headers": (answers_once(HEAD), ConnectionReset),
    "closed within the body": (answers_once(HEAD + b"Content-Length: 9\r\n\r\n{"), ConnectionReset),
    "closed within a chunk": (answers_once(CHUNKED + b"9\r\n{"), ConnectionReset),
    "closed between two chunks": (answers_once(CHUNKED + b"1\r\n{\r\n"), ConnectionReset),
    "reset without an answer": (resets, ConnectionReset),
    "reset within the body": (sends_then_resets(HEAD + b"Content-Length: 9\r\n\r\n{"), ConnectionReset),
}


def with_length(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes, size: int) -> bytes:
    chunks = [
        b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (bytes(each) for each in itertools.batched(body, size, strict=False))
    ]
    return CHUNKED + b"".join(chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_server_is_given_up_in_time(name: str, impatient_egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    behaviour, fault = SLOW[name]
    with Server(behaviour, tls) as server, raises_within(DEADLINE, fault):
        impatient_egress.get(
            f"https://rp.test:{server.port}/jwks", allowed_networks=LOOPBACK, ca_bundle=ca_bundle, max_octets=MAX_OCTETS
        )


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_document_that_is_not_whole_is_a_fault(
    name: str, scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    behaviour, fault = BROKEN[name]
    with Server(behaviour, tls if scheme == "https" else None) as server, raises_within(AT_ONCE, fault):
        egress.get(
            f"{scheme}://rp.test:{server.port}/jwks", allowed_networks=LOOPBACK, ca_bundle=ca_bundle, max_octets=MAX_OCTETS
        )


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "response",
    [
        with_length(DOCUMENT),
        in_chunks(DOCUMENT, 100),
        in_chunks(DOCUMENT, len(DOCUMENT)),
        HEAD + b"\r\n" + DOCUMENT,
        HEAD + b"Content-Encoding: identity\r\nContent-Length: %d\r\n\r\n" % len(DOCUMENT) + DOCUMENT,
        b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + with_length(DOCUMENT),
    ],
    ids=["length", "small chunks", "one chunk", "until it closes", "identity", "after early hints"],
)
def test_a_document_is_returned_whole(response: bytes, scheme: str, egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with Server(answers_once(response), tls if scheme == "https" else None) as server:
        uri = f"{scheme}://rp.test:{server.port}/jwks"

        answer = egress.get(uri, allowed_networks=LOOPBACK, ca_bundle=ca_bundle, max_octets=MAX_OCTETS)

    assert (answer.status, answer.content_type, answer.body) == (200, "application/json", DOCUMENT)


@pytest.mark.parametrize("frame", [with_length, lambda body: in_chunks(body, 4000), lambda body: HEAD + b"\r\n" + body])
@pytest.mark.parametrize("surplus", [0, 1])
def test_a_document_may_be_as_large_as_the_caller_says_and_no_larger(
    surplus: int, frame: Callable[[bytes], bytes], egress: Egress
) -> None:
    with Server(answers_once(frame(b"0" * (MAX_OCTETS + surplus)))) as server:
        uri = f"http://rp.test:{server.port}/jwks"

        if surplus:
            with pytest.raises(AnswerMalformed, match="a body of more than 262144 octets"):
                egress.get(uri, allowed_networks=LOOPBACK, max_octets=MAX_OCTETS)
        else:
            assert len(egress.get(uri, allowed_networks=LOOPBACK, max_octets=MAX_OCTETS).body) == MAX_OCTETS


def test_a_document_may_come_in_writes_of_a_hundred_octets(egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    drops = [bytes(each) for each in itertools.batched(DOCUMENT, 100, strict=False)]
    with Server(drips(HEAD + b"Content-Length: %d\r\n\r\n" % len(DOCUMENT), drops, every=0), tls) as server:
        uri = f"https://rp.test:{server.port}/jwks"

        assert egress.get(uri, allowed_networks=LOOPBACK, ca_bundle=ca_bundle, max_octets=MAX_OCTETS).body == DOCUMENT


def test_the_get_is_exactly_this(egress: Egress) -> None:
    with Server(answers(with_length(b"{}"))) as server:
        egress.get(f"http://rp.test:{server.port}/a%20b?c=d", allowed_networks=LOOPBACK, max_octets=MAX_OCTETS)

    assert server.requests == [
        f"GET /a%20b?c=d HTTP/1.1\r\nHost: rp.test:{server.port}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        "User-Agent: backchannel\r\n\r\n".encode()
    ]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_get_is_reported_and_never_followed(code: int, egress: Egress) -> None:
    with Server(answers(OK)) as trap:
        location = f"Location: http://rp.test:{trap.port}/trap\r\nContent-Length: 0\r\n\r\n".encode()
        with Server(answers(b"HTTP/1.1 %d Elsewhere\r\n" % code + location)) as server:
            answer = egress.get(f"http://rp.test:{server.port}/", allowed_networks=LOOPBACK, max_octets=MAX_OCTETS)

        assert answer.status == code
        assert trap.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1"])
def test_a_get_dials_no_forbidden_address(address: str, make_egress: MakeEgress) -> None:
    with Server(answers(OK)) as server, pytest.raises(AddressForbidden):
        make_egress(resolve=resolver(address)).get(f"https://rp.test:{server.port}/", max_octets=MAX_OCTETS)

    assert server.connections == 0


def test_http_without_allowed_networks_is_not_read(egress: Egress) -> None:
    with pytest.raises(AddressForbidden):
        egress.get("http://rp.test/jwks", max_octets=MAX_OCTETS)


def test_a_kept_connection_that_turns_out_dead_is_dialled_again_for_a_get(egress: Egress) -> None:
    with Server(answers_then_ends(with_length(b"{}"), lambda peer: peer.close())) as server:
        uri = f"http://rp.test:{server.port}/"

        for _ in range(2):
            assert egress.get(uri, allowed_networks=LOOPBACK, max_octets=MAX_OCTETS).body == b"{}"

    assert server.connections == 2


def test_a_get_and_a_post_may_share_a_connection_and_keep_their_bounds(egress: Egress) -> None:
    with Server(answers(with_length(DOCUMENT[:4000]), with_length(DOCUMENT), with_length(DOCUMENT))) as server:
        uri = f"http://rp.test:{server.port}/"

        small = egress.post(uri, BODY, allowed_networks=LOOPBACK)
        large = egress.get(uri, allowed_networks=LOOPBACK, max_octets=MAX_OCTETS)
        cut = egress.post(uri, BODY, allowed_networks=LOOPBACK)

    assert (len(small.body), large.body, cut.body) == (4000, DOCUMENT, DOCUMENT[:4096])
    assert server.connections == 1


def test_a_compressed_answer_to_a_post_is_still_an_answer(egress: Egress) -> None:
    packed = gzip.compress(b"no")
    with Server(
        answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    ) as server:
        assert egress.post(f"http://rp.test:{server.port}/", BODY, allowed_networks=LOOPBACK).body == packed
