"""A test of a client: one good token about nobody, sent as an attempt sends one, and what happened at every step.

Nothing is recorded, no circuit counts it, and a paused client gets it. `admin` asks for it, `delivery` may sign.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, cast

from aws_lambda_powertools.metrics import MetricUnit

from backchannel.deliveries import attempt, meanings, outcomes
from backchannel.deliveries.addressing import Named, Newer, address
from backchannel.deliveries.attempt import AttemptResult, Signer, clean
from backchannel.deliveries.logout_token import header
from backchannel.deliveries.meanings import Meaning
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.token_parts import TokenParts, token_parts
from backchannel.egress.post import Response
from backchannel.egress.trace import Certificate, Trace
from backchannel.errors import EncryptionKeyUnavailable, InternalFailure, RelyingPartyFault, SigningUnavailable
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.runtime.observability import logger, metrics

if TYPE_CHECKING:
    from backchannel.deliveries.encryption import Encryption

MADE_UP = "backchannel-test-"
"""How the ``sub`` and the ``sid`` of a test begin; what follows is random, so that they are nobody's."""

POST_WITHIN = 8_000
"""Milliseconds from the beginning within which the POST begins, or not at all: `admin` waits for 20 s."""

_LATER = 2
"""The attempt that shows what becomes of a delivery if the answer stays the same."""


class TracingPoster(Protocol):
    """What POSTs to a relying party, and notes how far that came."""

    def post(
        self, uri: str, body: bytes, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None, trace: Trace
    ) -> Response:
        """Return the response, or raise a RelyingPartyFault."""


@dataclass(frozen=True, slots=True)
class _Traced:
    """An egress whose POSTs are traced."""

    egress: TracingPoster
    trace: Trace

    def post(self, uri: str, body: bytes, *, allowed_networks: tuple[str, ...] = (), ca_bundle: str | None = None) -> Response:
        return self.egress.post(uri, body, allowed_networks=allowed_networks, ca_bundle=ca_bundle, trace=self.trace)


@dataclass(slots=True)
class Course:
    """How far a test has come. Times in milliseconds."""

    client: Client
    meaning: Meaning = meanings.INTERNAL
    failed_at: str | None = None
    detail: str | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(Status.QUEUED, InternalFailure.code))
    in_the_end: Status = Status.UNDELIVERABLE
    parts: TokenParts | None = None
    times: dict[str, float] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    attempted: AttemptResult | None = None


@dataclass(frozen=True, slots=True)
class ClientTester:
    """Tests clients as they are registered now; ``now`` is in milliseconds since the epoch."""

    provider: Callable[[str], Provider]
    client: Callable[[str, str], Client]
    encryption: "Callable[[], Encryption]"
    signer: Signer
    egress: TracingPoster
    rng: Random = field(default_factory=Random)
    now: Callable[[], int] = lambda: round(time.time() * 1000)

    def test(self, *, provider: str, client_id: str, requester: str) -> dict[str, Any]:
        """Send a token, and return what happened and what it means; ``requester`` is who asked, for the log."""
        post_until = self.now() + POST_WITHIN
        course = Course(self.client(provider, client_id))
        if course.client.backchannel_logout_uri is None:
            _not_sent(course, "prepare", meanings.NO_URI, Outcome(Status.SUPPRESSED, meanings.NO_URI.code), Status.SUPPRESSED)
        else:
            self._send(course, self.provider(provider), post_until)
        _log(course, provider, requester)
        metrics.add_metric("ClientTests", MetricUnit.Count, 1)
        return _shown(course)

    def _send(self, course: Course, provider: Provider, post_until: int) -> None:
        began = time.perf_counter()
        try:
            course.parts = self._parts(provider, course.client)
        except EncryptionKeyUnavailable as fault:
            _not_sent(course, "prepare", meanings.of_fault(fault, None), Outcome(Status.QUEUED, fault.code), detail=str(fault))
        except SigningUnavailable as failure:
            meaning = meanings.NO_KEY if course.client.own_tokens else meanings.NO_KEY_NEEDED
            _not_sent(course, "prepare", meaning, Outcome(Status.QUEUED, failure.code), detail=str(failure))
        except InternalFailure as failure:
            _failed(course, "prepare", failure)
        course.times["prepare"] = (time.perf_counter() - began) * 1000
        if course.parts is None:
            return
        course.trace = Trace()
        try:
            attempted = attempt.send(
                course.client,
                course.parts,
                signer=self.signer,
                egress=_Traced(self.egress, course.trace),
                time_left=lambda: post_until - self.now(),
            )
        except InternalFailure as failure:
            _failed(course, "sign", failure)
        else:
            course.times["sign"] = attempted.signing_ms
            self._conclude(course, attempted)

    def _parts(self, provider: Provider, client: Client) -> TokenParts:
        """Return the parts of a token that names what one for a real session names, where there is no newer login."""
        named = address(client, None, Newer.NOWHERE, has_sid=True, has_older_without_sid=False)
        return token_parts(
            provider,
            client,
            cast("Named", named),  # a session whose sub and sid are known can always be told
            sub=MADE_UP + secrets.token_hex(16),
            sid=MADE_UP + secrets.token_hex(16),
            now=self.now(),
            encryption=self.encryption,
            current_provider=self.provider,
        )

    def _conclude(self, course: Course, attempted: AttemptResult) -> None:
        reply, client, trace = attempted.reply, course.client, course.trace
        course.attempted = attempted
        course.outcome = self._decide(client, attempted)
        course.in_the_end = self._decide(client, attempted, is_last=True).status
        if isinstance(reply, RelyingPartyFault):
            course.failed_at, course.detail = str(trace.stop(reply)), attempted.detail
            course.meaning = meanings.of_fault(reply, trace.refusal)
        else:
            course.meaning = meanings.of_status(reply.status, reply.body, own_tokens=client.own_tokens)

    def _decide(self, client: Client, attempted: AttemptResult, *, is_last: bool = False) -> Outcome:
        """Return what a real delivery would make of it at first, or if it stays so."""
        deadline = client.give_up_after * 1000
        return outcomes.decide(
            attempted.result,
            attempts=_LATER if is_last else 1,
            last_status_code=attempted.report.status_code if is_last else None,
            age=deadline if is_last else 0,
            deadline=deadline,
            retry_after=outcomes.parse_retry_after(attempted.retry_after, self.now()),
            rng=self.rng,
        )


def _not_sent(
    course: Course,
    step: str,
    meaning: Meaning,
    outcome: Outcome,
    in_the_end: Status = Status.UNDELIVERABLE,
    *,
    detail: str | None = None,
) -> None:
    course.failed_at, course.meaning, course.outcome, course.in_the_end = step, meaning, outcome, in_the_end
    course.detail = clean(detail)


def _failed(course: Course, step: str, failure: InternalFailure) -> None:
    detail = f"{failure.code}: {failure}" if str(failure) else failure.code
    _not_sent(course, step, meanings.INTERNAL, Outcome(Status.QUEUED, failure.code), detail=detail)


def _log(course: Course, provider: str, requester: str) -> None:
    attempted = course.attempted
    logger.info(
        "client.tested",
        provider=provider,
        client_id=course.client.client_id,
        requested_by=requester,
        code=course.meaning.code,
        failed_at=course.failed_at,
        detail=course.detail,
        status=course.outcome.status,
        status_code=None if attempted is None else attempted.report.status_code,
        address=None if attempted is None else attempted.address,
        kid=None if attempted is None else attempted.kid,
        signing_ms=None if attempted is None else round(attempted.signing_ms, 1),
        post_ms=None if attempted is None else round(attempted.post_ms, 1),
    )


def _shown(course: Course) -> dict[str, Any]:
    """Return what the operator is shown, as JSON has it. No token is in it."""
    trace, outcome = course.trace, course.outcome
    report = None if course.attempted is None else course.attempted.report
    times = {**course.times, **{str(step): each for step, each in trace.milliseconds.items()}}
    return {
        "code": course.meaning.code,
        "meaning": course.meaning.text,
        "failed_at": course.failed_at,
        "detail": course.detail,
        "outcome": {
            "status": outcome.status,
            "code": outcome.code,
            "retry_in": None if outcome.delay is None else round(outcome.delay / 1000),
            "in_the_end": course.in_the_end,
        },
        "milliseconds": {step: round(each, 1) for step, each in times.items()},
        "token": None if course.parts is None else _token(course.client, course.parts),
        "addresses": [
            {"address": each.address, "forbidden": each.forbidden, "dialled": each.address in trace.dialled}
            for each in trace.candidates
        ],
        "address": None if course.attempted is None else course.attempted.address,
        "tls_version": trace.tls_version,
        "certificate": None if trace.certificate is None else _certificate(trace.certificate),
        "status_code": None if report is None else report.status_code,
        "error": None if report is None else report.error,
        "error_description": None if report is None else report.error_description,
    }


def _token(client: Client, parts: TokenParts) -> Mapping[str, Any]:
    """Return what the token says, but for its signature and what makes it one of its own."""
    claims = {name: parts.claims.get(name) for name in ("iss", "aud", "sub", "sid", "iat", "exp")}
    encryption = {"alg": client.id_token_encrypted_response_alg, "enc": client.id_token_encrypted_response_enc}
    return {
        "header": {"typ": None, **header(client, parts.key.kid)},
        "claims": claims,
        "encryption": None if encryption["alg"] is None else encryption,
    }


def _certificate(found: Certificate) -> Mapping[str, Any]:
    return {
        "subject": clean(found.subject),
        "issuer": clean(found.issuer),
        "names": [name for each in found.names if (name := clean(each)) is not None],
        "not_before": datetime.fromtimestamp(found.not_before, UTC).isoformat(),
        "not_after": datetime.fromtimestamp(found.not_after, UTC).isoformat(),
    }
