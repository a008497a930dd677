"""A traced POST: which steps it took, what it met there, and that a usual one is none the wiser."""

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import trustme

from backchannel.deliveries import meanings
from backchannel.egress.addresses import CLOSED
from backchannel.egress.post import Egress
from backchannel.egress.trace import MOST_NAMES, Candidate, Step, Trace
from backchannel.errors import (
    AddressForbidden,
    ConnectFailed,
    ConnectionReset,
    ConnectTimeout,
    DnsFailure,
    ReadTimeout,
    RelyingPartyFault,
    TlsAborted,
    TlsFailed,
    TlsTimeout,
)
from tests.faults.conftest import MakeEgress, resolver, server_context
from tests.faults.servers import OK, Peer, Server, answers, full_backlog, hangs, resets

LOOPBACK = ("127.0.0.0/8", "::1/128")
BODY = b"logout_token=a.b.c"
LONG_AGO = datetime(2021, 1, 1, tzinfo=UTC)
HTTP_STEPS = [step for step in Step if step is not Step.TLS]

type Context = Callable[[trustme.CA], ssl.SSLContext]


def traced(egress: Egress, uri: str, *, ca_bundle: str | None = None, networks: tuple[str, ...] = LOOPBACK) -> Trace:
    """POST, and return the trace; a fault has ended it."""
    trace = Trace()
    try:
        egress.post(uri, BODY, allowed_networks=networks, ca_bundle=ca_bundle, trace=trace)
    except RelyingPartyFault as fault:
        trace.stop(fault)
    return trace


def failed_at(egress: Egress, uri: str, fault: type[RelyingPartyFault], ca_bundle: str | None = None) -> tuple[Step, Trace]:
    trace = Trace()
    with pytest.raises(fault) as raised:
        egress.post(uri, BODY, allowed_networks=LOOPBACK, ca_bundle=ca_bundle, trace=trace)
    return trace.stop(raised.value), trace


def test_a_post_over_tls_shows_every_step_and_the_certificate(egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with Server(answers(OK), tls) as server:
        trace = traced(egress, f"https://rp.test:{server.port}/", ca_bundle=ca_bundle)

    assert list(trace.milliseconds) == list(Step)
    assert all(each >= 0 for each in trace.milliseconds.values())
    assert (trace.candidates, trace.dialled) == ((Candidate("127.0.0.1"),), ["127.0.0.1"])
    assert trace.tls_version == "TLSv1.3"
    assert trace.certificate is not None
    assert trace.certificate.names == ("rp.test", "127.0.0.1", "0:0:0:0:0:0:0:1")
    assert "trustme" in trace.certificate.issuer
    assert datetime.fromtimestamp(trace.certificate.not_after, UTC) == datetime(2099, 1, 1, tzinfo=UTC)


def test_a_post_over_http_has_no_step_of_tls(egress: Egress) -> None:
    with Server(answers(OK)) as server:
        trace = traced(egress, f"http://rp.test:{server.port}/")

    assert list(trace.milliseconds) == HTTP_STEPS
    assert (trace.tls_version, trace.certificate) == (None, None)


def test_the_time_of_a_step_is_its_own(egress: Egress) -> None:
    def slow(peer: Peer) -> None:
        peer.read_request()
        peer.stopped.wait(0.2)
        peer.socket.sendall(OK)

    with Server(slow) as server:
        began = time.perf_counter()
        trace = traced(egress, f"http://rp.test:{server.port}/")
        took = (time.perf_counter() - began) * 1000

    assert trace.milliseconds[Step.ANSWER] >= 190
    assert sum(trace.milliseconds.values()) <= took


REFUSED: dict[str, tuple[Context, str, str]] = {
    "expired": (lambda ca: server_context(ca, "rp.test", not_after=LONG_AGO), "rp.test", "tls_expired"),
    "another name": (lambda ca: server_context(ca, "other.test"), "rp.test", "tls_name_mismatch"),
    "another address": (lambda ca: server_context(ca, "rp.test"), "127.0.0.1", "tls_name_mismatch"),
    "unknown authority": (lambda _: server_context(trustme.CA(), "rp.test"), "rp.test", "tls_authority_unknown"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_certificate_says_why(name: str, egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    context, host, code = REFUSED[name]
    with Server(answers(OK), context(authority)) as server:
        step, trace = failed_at(egress, f"https://{host}:{server.port}/", TlsFailed, ca_bundle)

        assert (step, server.requests) == (Step.TLS, [])
    assert trace.certificate is None
    assert meanings.of_fault(TlsFailed(), trace.refusal).code == code


def test_a_client_certificate_that_is_wanted_after_the_handshake_does_not_say_nothing_was_sent(
    egress: Egress, authority: trustme.CA, ca_bundle: str
) -> None:
    mutual = server_context(authority, "rp.test")
    authority.configure_trust(mutual)
    mutual.verify_mode = ssl.CERT_REQUIRED
    with Server(answers(OK), mutual) as server:
        step, trace = failed_at(egress, f"https://rp.test:{server.port}/", TlsAborted, ca_bundle)

        assert (step, server.requests) == (Step.ANSWER, [])
    assert (trace.tls_version, trace.certificate is None) == ("TLSv1.3", False)
    assert "may have been sent" in meanings.of_fault(TlsAborted(), trace.refusal).text


def test_a_client_certificate_that_is_wanted_within_the_handshake_fails_at_tls(
    egress: Egress, authority: trustme.CA, ca_bundle: str
) -> None:
    mutual = server_context(authority, "rp.test")
    authority.configure_trust(mutual)
    mutual.verify_mode, mutual.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    with Server(answers(OK), mutual) as server:
        step, _ = failed_at(egress, f"https://rp.test:{server.port}/", TlsFailed, ca_bundle)

    assert step is Step.TLS


def test_a_server_without_tls_fails_at_tls(egress: Egress, ca_bundle: str) -> None:
    with Server(answers(OK)) as server:
        step, trace = failed_at(egress, f"https://rp.test:{server.port}/", RelyingPartyFault, ca_bundle)

    assert (step, trace.refusal) == (Step.TLS, None)


def test_a_bundle_that_is_none_fails_at_tls(egress: Egress) -> None:
    step, trace = failed_at(egress, "https://rp.test/", TlsFailed, "no PEM")

    assert (step, list(trace.milliseconds)) == (Step.TLS, [Step.TLS])


def test_a_fault_stops_the_trace_at_its_step(impatient_egress: Egress, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with Server(resets, tls) as server:
        assert failed_at(impatient_egress, f"https://rp.test:{server.port}/", ConnectionReset, ca_bundle)[0] is Step.ANSWER
    with Server(hangs, tls) as server:
        assert failed_at(impatient_egress, f"https://rp.test:{server.port}/", ReadTimeout, ca_bundle)[0] is Step.ANSWER
    with Server(hangs) as server:
        assert failed_at(impatient_egress, f"https://rp.test:{server.port}/", TlsTimeout, ca_bundle)[0] is Step.TLS
    assert failed_at(impatient_egress, f"https://rp.test:{server.port}/", ConnectFailed, ca_bundle)[0] is Step.CONNECT
    with full_backlog() as port:
        step, trace = failed_at(impatient_egress, f"http://rp.test:{port}/", ConnectTimeout)

        assert step is Step.CONNECT
        assert trace.milliseconds[Step.CONNECT] >= 250


def test_a_name_without_an_address_fails_where_it_is_resolved(make_egress: MakeEgress) -> None:
    step, trace = failed_at(make_egress(resolve=resolver([])), "https://rp.test/", DnsFailure)

    assert (step, trace.candidates, trace.dialled) == (Step.RESOLVE, (), [])


def test_every_address_is_shown_with_its_rule_and_none_is_dialled(make_egress: MakeEgress) -> None:
    found = ["93.184.215.14", "10.0.0.1", "169.254.169.254"]

    trace = traced(make_egress(resolve=resolver(found)), "https://rp.test/", networks=())

    assert [each.address for each in trace.candidates] == found
    public, private, metadata = (each.forbidden for each in trace.candidates)
    assert public is None
    assert private == f"10.0.0.1 is in no allowed network: {_reason('10.0.0.0/8')}"
    assert metadata == f"169.254.169.254 is never dialled: {_reason('169.254.0.0/16')}"
    assert (trace.dialled, list(trace.milliseconds)) == ([], [Step.RESOLVE])


def _reason(network: str) -> str:
    return next(row.reason for row in CLOSED if str(row.network) == network)


def test_an_uri_that_is_none_is_forbidden_before_anything(egress: Egress) -> None:
    assert failed_at(egress, "gopher://rp.test/", AddressForbidden)[0] is Step.RESOLVE


def test_of_a_certificate_with_many_names_the_first_are_shown(egress: Egress, authority: trustme.CA, ca_bundle: str) -> None:
    context = server_context(authority, "rp.test", *(f"{number}.test" for number in range(99)))
    with Server(answers(OK), context) as server:
        trace = traced(egress, f"https://rp.test:{server.port}/", ca_bundle=ca_bundle)

    assert trace.certificate is not None
    assert len(trace.certificate.names) == MOST_NAMES


def test_a_traced_post_takes_no_open_connection_and_leaves_none(egress: Egress) -> None:
    with Server(answers(OK)) as server:
        uri = f"http://rp.test:{server.port}/"
        for number, trace in enumerate((None, Trace(), None, Trace(), None)):
            egress.post(uri, BODY, allowed_networks=LOOPBACK, trace=trace)

            traced_so_far = (number + 1) // 2
            assert server.connections == 1 + traced_so_far, "the usual ones share the first"


def test_the_request_on_the_wire_is_that_of_a_usual_post(egress: Egress) -> None:
    with Server(answers(OK)) as server:
        uri = f"http://rp.test:{server.port}/logout?logout=backchannel"
        egress.post(uri, BODY, allowed_networks=LOOPBACK)
        traced(egress, uri)

        usual, with_trace = server.requests
        assert with_trace == usual
