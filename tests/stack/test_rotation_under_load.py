"""A rotation on the deployed stack while logouts never stop: whatever a relying party has cached, each token verifies at once."""

import json
import operator
import sys
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backchannel.tokens.document_store import FRESH
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import published_keys, verified
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.unspeakable import new_id
from tests.support.upstream import JWKS, Json, UpstreamServer, new_key

pytestmark = pytest.mark.waits

WAIT = 15
"""Seconds: what relying parties cache the keys for, and how long a key is published before it signs."""

GRACE = 70
"""Seconds that an old key stays published: `delivery` may go on with a ring for a minute."""

EVERY = 5
"""Seconds between two passes: each is over all providers of the stack. A key may be published for longer than it has to be."""

BEHIND = 10
"""How many tokens may be on their way."""


@dataclass
class CachingVerifier:
    """Verifies each token as it arrives, by the keys that it read up to WAIT seconds ago; never reads them again before."""

    keys: Callable[[], KeySet]
    relying_party: RelyingParty
    upstream: "RotatingUpstream"
    age: float
    """How old the keys are that it begins with, in seconds."""
    verified: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    """Keys of the provider's own with which a user could not have logged in."""

    def run(self, stop: threading.Event) -> None:
        known, read_at, seen = self.keys(), time.monotonic() - self.age, 0
        while not (stop.wait(0.02) and seen == len(self.relying_party.tokens)):
            if time.monotonic() - read_at >= WAIT:
                known, read_at = self.keys(), time.monotonic()
            self.missed |= self.upstream.in_use() - {key.kid for key in known.keys if key.kid}
            tokens = self.relying_party.tokens[seen:]
            seen += len(tokens)
            for token in tokens:
                try:
                    self.verified.append(jwt.decode(token, known, algorithms=["ES256"]).header["kid"])
                except JoseError as error:
                    self.refused.append(repr(error))


@dataclass
class RotatingUpstream:
    """A provider that rotates its own keys, too, and publishes each long enough before it uses it."""

    server: UpstreamServer
    keys: list[Json] = field(default_factory=list)
    published: dict[str, float] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        while True:
            kid = f"upstream-{len(self.published)}"
            self.keys.append(new_key(kid))
            self.server.pages[JWKS] = {"keys": [*self.keys]}
            self.published[kid] = time.monotonic()
            if stop.wait(20):
                return

    def in_use(self) -> set[str]:
        """Return the keys that sign: published for longer than this service and a relying party cache them."""
        since = time.monotonic() - FRESH / 1000 - WAIT - 5
        return {kid for kid, at in self.published.copy().items() if at < since}


@dataclass
class EndlessLogouts:
    """Five logouts a second, as long as the service keeps up: other tests' logouts are not to wait behind a backlog."""

    provider: Provider
    client_id: str
    relying_party: RelyingParty
    logouts: list[str] = field(default_factory=list)
    accepted: int = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            if len(self.logouts) - len(self.relying_party.tokens) > BEHIND:
                continue
            sid = new_id("sid")
            self.provider.start(self.client_id, sub=new_id("sub"), sid=sid)
            self.logouts.append(self.provider.end_session(sid))

    def are_accepted(self) -> bool:
        """Look at each logout until it is accepted, and then never again."""
        for logout in self.logouts[self.accepted :]:
            if [each["status"] for each in self.provider.deliveries(logout)] != ["accepted"]:
                return False
            self.accepted += 1
        return True


@dataclass(frozen=True, slots=True)
class Emergency:
    """A logout that waits for its second attempt, and the key of the first, which is withdrawn."""

    provider: Provider
    relying_party: RelyingParty
    logout: str
    suspect: Json


@pytest.fixture(scope="module")
def emergency(stack: Stack) -> Iterator[Emergency]:
    """Withdraw a key; `delivery` may go on with the ring for a minute, so what becomes of the logout is looked at last."""
    provider, sid = Provider(stack), new_id("sid")
    provider.create()
    with RelyingParty(Answer(503), Answer()) as rp:
        provider.start(provider.register_client(rp, id_token_signed_response_alg="ES256"), sub=new_id("sub"), sid=sid)
        logout = provider.end_session(sid)
        provider.wait_until(logout, "retrying")
        (suspect,) = provider.ring()
        provider.post("/keys/rotation", {"kid": suspect["kid"], "emergency": True})
        yield Emergency(provider, rp, logout, suspect)


@contextmanager
def running(*runs: Callable[[threading.Event], None]) -> Generator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=[stop]) for run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("emergency")
def test_during_a_rotation_every_token_verifies_by_keys_cached_as_long_as_the_wait(
    provider: Provider, aws: Aws, relying_party: MakeRelyingParty
) -> None:
    """And with the keys of a provider that rotates, too, its users can log in all the time."""
    rp = relying_party()
    load = EndlessLogouts(provider, provider.register_client(rp, id_token_signed_response_alg="ES256"), rp)
    (old,) = provider.ring()

    def states(function: str) -> list[str]:
        aws.invoke(function)
        return [key["state"] for key in provider.ring()]

    with UpstreamServer(provider.issuer) as server:
        provider.put("", {"issuer": provider.issuer, "upstream": server.upstream})
        upstream = RotatingUpstream(server)
        ages = (0, WAIT / 3, 2 * WAIT / 3)
        verifiers = [CachingVerifier(lambda: published_keys(provider), rp, upstream, age) for age in ages]
        with running(upstream.run, *(each.run for each in verifiers)):
            short = {"KEY_WAIT": str(WAIT), "KEY_GRACE": str(GRACE)}
            with running(load.run), aws.with_variables("KeyRotationFunction", **short) as function:
                provider.post("/keys/rotation", {})
                for wanted in (["signing", "published"], ["retired", "signing"], ["deleted", "signing"]):
                    holds = partial(operator.eq, wanted)
                    found = until(partial(states, function), holds=holds, seconds=GRACE + 60, every=EVERY)
                    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {found}\n")
            until(load.are_accepted, seconds=60)

    (new,) = provider.ring(state="signing")
    assert upstream.in_use()
    for each in verifiers:
        assert (each.refused, each.missed) == ([], set())
        assert set(each.verified) == {old["kid"], new["kid"]}
        assert len(each.verified) == len(rp.tokens) >= len(load.logouts) > 2 * GRACE


def test_after_an_emergency_deliveries_that_waited_go_out_signed_by_the_new_key(emergency: Emergency) -> None:
    provider = emergency.provider

    provider.wait_until(emergency.logout, "accepted", seconds=180)

    (successor,) = provider.ring(state="signing")
    first, second = emergency.relying_party.tokens
    assert json.loads(urlsafe_b64decode(first.split(".")[0] + "=="))["kid"] == emergency.suspect["kid"]
    assert verified(provider, second, "ES256").header["kid"] == successor["kid"]
