"""`python -m tests.load.senders ours|bare <uri> <ca file>`: sends logout tokens for tests.load.delivery.

Reads a slice of work per line, {"alg", "concurrency", "seconds"}, and answers with what came of it: {"tokens", "cpu_seconds"}.
"""

import json
import os
import ssl
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from backchannel.aws.dynamodb import Page
from backchannel.deliveries import logout_token
from backchannel.deliveries.circuits import Circuits
from backchannel.deliveries.messages import DeliveryMessage
from backchannel.deliveries.newer_logins import NewerLogins
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.deliveries.table import CheckedOut, Deliveries
from backchannel.deliveries.verdicts import Done
from backchannel.deliveries.worker import DeliveryWorker
from backchannel.egress.post import Egress
from backchannel.providers.cache import cached
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.runtime import cpu
from backchannel.runtime.observability import logger
from backchannel.sessions.rp_sessions import RpSession
from backchannel.sessions.table import Sessions
from backchannel.tokens import jws
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.kms import KmsSigner

MAX_CONCURRENCY = 10
ALGORITHMS = ("RS256", "PS256", "ES256")
ISSUER = "https://op.example"
SUB = "248289761001"
SID = "08a5019c-17e1-4977-8f42-65a12843ea02"
NOBODY: Any = None
"""What an attempt has no use for that is about a whole provider session."""

type Send = Callable[[str], None]
"""Signs a token with this algorithm and delivers it."""


class InProcessKms:
    """Signs as KMS does, without the way there."""

    def __init__(self) -> None:
        self._ec = ec.generate_private_key(ec.SECP256R1())
        self._rsa = rsa.generate_private_key(65537, 2048)

    def sign(self, *, KeyId: str, Message: bytes, **_: str) -> dict[str, bytes]:  # noqa: N803
        if KeyId == "ES256":
            return {"Signature": self._ec.sign(Message, ec.ECDSA(Prehashed(SHA256())))}
        return {"Signature": self._rsa.sign(Message, padding.PKCS1v15(), Prehashed(SHA256()))}


class InMemoryDeliveries(Deliveries):
    """One delivery for each client, which is always due."""

    def __init__(self, now: int) -> None:
        self._checked_out = {alg: CheckedOut(_record(alg, now), str(uuid.uuid4())) for alg in ALGORITHMS}

    def check_out(self, message: DeliveryMessage, now: int) -> CheckedOut:  # noqa: ARG002
        return self._checked_out[message.client_id]

    def settle(self, delivery: CheckedOut, outcome: Outcome, *_: object) -> bool:  # noqa: ARG002
        return True


class NoSessions(Sessions):
    """A table in which nobody has logged in since."""

    def __init__(self) -> None: ...

    def page(self, *_: object, **__: object) -> Page[RpSession]:
        return Page([], None)


class NoOpenCircuits:
    """DynamoDB with an empty table."""

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}


def ours(uri: str, ca_bundle: str) -> Send:
    """Return our delivery path, all but the calls to AWS."""
    logger.registered_handler.setStream(Path(os.devnull).open("w"))  # type: ignore[attr-defined]  # noqa: SIM115
    clients = {alg: _client(alg, uri, ca_bundle) for alg in ALGORITHMS}
    worker = DeliveryWorker(
        provider=cached(lambda name: Provider(name, ISSUER, _ring())),
        current_provider=lambda name: Provider(name, ISSUER, _ring()),
        client=cached(lambda _, client_id: clients[client_id]),
        current_client=lambda _, client_id: clients[client_id],
        deliveries=InMemoryDeliveries(round(time.time() * 1000)),
        newer_logins=NewerLogins(NoSessions(), NOBODY, NOBODY),
        encryption=NOBODY,
        signer=_signer(),
        egress=Egress(),
        circuits=Circuits(cast("Any", NoOpenCircuits()), "circuits"),
    )
    messages = {alg: DeliveryMessage("op", "logout", alg, SID) for alg in ALGORITHMS}

    def send(alg: str) -> None:
        verdict = worker.attempt(messages[alg])
        outcome = verdict.outcome if isinstance(verdict, Done) else None
        if outcome is None or outcome.code != "http_204":
            raise RuntimeError(outcome)

    return send


def bare(uri: str, ca_bundle: str) -> Send:
    """Return the least that delivers a token."""
    url = urllib3.util.parse_url(uri)
    pool = urllib3.HTTPSConnectionPool(
        cast("str", url.host),
        url.port,
        maxsize=MAX_CONCURRENCY,
        timeout=urllib3.Timeout(connect=2, read=5),
        retries=False,
        ssl_context=ssl.create_default_context(cadata=ca_bundle),
    )
    signer = _signer()
    keys = {key.alg: key for key in _ring()}
    clients = {alg: _client(alg, uri, ca_bundle) for alg in ALGORITHMS}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    def send(alg: str) -> None:
        claims = logout_token.claims(clients[alg], issuer=ISSUER, sub=SUB, sid=SID, jti=str(uuid.uuid4()), now=int(time.time()))
        octets = jws.signing_input(logout_token.header(clients[alg], keys[alg].kid), claims)
        body = b"logout_token=" + jws.serialize(octets, signer.sign(keys[alg], octets)).encode("ascii")
        status = pool.request("POST", url.request_uri, body=body, headers=headers).status
        if status != 204:
            raise RuntimeError(status)

    return send


def _signer() -> KmsSigner:
    return KmsSigner(cast("Any", InProcessKms()))


def _ring() -> tuple[SigningKey, ...]:
    return tuple(SigningKey("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", alg, alg) for alg in ALGORITHMS)


def _client(alg: str, uri: str, ca_bundle: str) -> Client:
    return Client(
        client_id=alg,
        backchannel_logout_uri=uri,
        backchannel_logout_session_required=True,
        id_token_signed_response_alg=alg,
        allowed_networks=("127.0.0.0/8",),
        ca_bundle=ca_bundle,
    )


def _record(client_id: str, now: int) -> DeliveryRecord:
    return DeliveryRecord(
        provider="op",
        logout_id="logout",
        client_id=client_id,
        sid=SID,
        sub=SUB,
        client_sub=None,
        status=Status.QUEUED,
        attempts=0,
        issuer=ISSUER,
        ended_at=now,
        created_at=now,
        updated_at=now,
        whole_session=True,
    )


def work(send: Send, threads: ThreadPoolExecutor, alg: str, concurrency: int, seconds: float) -> dict[str, float]:
    """Send as many tokens as time allows."""
    end = time.monotonic() + seconds

    def send_on() -> int:
        sent = 0
        while time.monotonic() < end:
            send(alg)
            sent += 1
        return sent

    began = time.process_time()
    sending = [threads.submit(send_on) for _ in range(concurrency)]
    tokens = sum(each.result() for each in sending)
    return {"tokens": tokens, "cpu_seconds": time.process_time() - began}


def main(kind: str, uri: str, ca_file: str) -> None:
    send = {"ours": ours, "bare": bare}[kind](uri, Path(ca_file).read_text())
    threads = ThreadPoolExecutor(MAX_CONCURRENCY, initializer=cpu.shared_by_threads() if kind == "ours" else None)
    for line in sys.stdin:
        print(json.dumps(work(send, threads, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
