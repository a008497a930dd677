"""What ``Documents`` promises, over any store; a document's server and a clock that the tests hold in their hands."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from backchannel.errors import ConnectFailed, DocumentInvalid, DocumentUnavailable
from backchannel.tokens.document_store import FRESH, MAX_STALE, RETRY, DocumentStore, StoredDocument
from backchannel.tokens.documents import MAX_OCTETS, Documents, FetchResponse
from backchannel.tokens.locations import Location


@dataclass(frozen=True, slots=True)
class Served:
    status: int
    body: bytes


@dataclass
class DocumentServer:
    """Serves one document; ``during`` runs while somebody is fetching it."""

    content: Any = field(default_factory=lambda: {"keys": []})
    body: bytes | None = None
    status: int = 200
    is_down: bool = False
    fetches: int = 0
    during: Callable[[], object] | None = None

    def get(self, _uri: str, *, allowed_networks: tuple[str, ...], ca_bundle: str | None, max_octets: int) -> FetchResponse:
        assert (allowed_networks, ca_bundle, max_octets) is not None
        self.fetches += 1
        served = Served(self.status, json.dumps(self.content).encode() if self.body is None else self.body)
        during, self.during = self.during, None
        if during is not None:
            during()
        if self.is_down:
            raise ConnectFailed("refused")
        return served


@dataclass
class HandClock:
    """Milliseconds since the epoch; goes on when it is told to, or when somebody sleeps."""

    now: int = field(default_factory=lambda: round(time.time() * 1000))

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


class MemoryStore:
    """The table, without DynamoDB."""

    def __init__(self) -> None:
        self._stored: dict[str, StoredDocument] = {}

    def get(self, key: str) -> StoredDocument | None:
        return self._stored.get(key)

    def claim(self, key: str, now: int, before: int) -> bool:
        known = self._stored.get(key)
        if known is not None and known.attempted_at > before:
            return False
        self._stored[key] = replace(known or StoredDocument(now), attempted_at=now, failure=None)
        return True

    def save(self, key: str, body: str, attempted_at: int) -> None:
        if self._stored[key].attempted_at == attempted_at:
            self._stored[key] = StoredDocument(attempted_at, body, attempted_at)

    def fail(self, key: str, failure: str, attempted_at: int) -> None:
        if self._stored[key].attempted_at == attempted_at:
            self._stored[key] = replace(self._stored[key], failure=failure)


def anything(_: Mapping[str, Any]) -> None:
    """Accept every document."""


def with_keys(content: Mapping[str, Any]) -> None:
    if "keys" not in content:
        raise ValueError("no keys")


OLD, NEW = {"keys": [{"kid": "old"}]}, {"keys": [{"kid": "new"}]}


class DocumentPromises:
    """Tests for a subclass that has a fixture ``store``."""

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    def server(self) -> DocumentServer:
        return DocumentServer(OLD)

    @pytest.fixture
    def location(self) -> Location:
        return Location(f"https://op.example/{secrets.token_hex(8)}")

    @pytest.fixture
    def environment(self, server: DocumentServer, store: DocumentStore, clock: HandClock) -> Callable[[], Documents]:
        """Make another environment: one with an empty memory."""
        return lambda: Documents(server.get, store, clock=clock, sleep=clock.sleep)

    @pytest.fixture
    def documents(self, environment: Callable[[], Documents]) -> Documents:
        return environment()

    def test_a_document_is_fetched_once_a_minute(
        self, documents: Documents, server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        first = documents.get(location, with_keys)
        server.content = NEW
        clock.now += FRESH - 1
        second = documents.get(location, with_keys)
        fetches = server.fetches
        clock.now += 1
        third = documents.get(location, with_keys)

        assert (first.content, second.content, third.content) == (OLD, OLD, NEW)
        assert (fetches, server.fetches) == (1, 2)
        assert third.fetched_at == clock.now
        assert third.failure is None

    def test_a_cold_environment_has_the_copy_of_the_others(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        environment().get(location, with_keys)
        clock.now += FRESH - 1

        assert [environment().get(location, with_keys).content for _ in range(3)] == [OLD] * 3
        assert server.fetches == 1

    def test_of_many_environments_one_fetches_and_the_others_go_on_with_their_copy(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        warm = [environment() for _ in range(3)]
        for each in warm:
            each.get(location, with_keys)
        clock.now += FRESH
        server.content = NEW
        others: list[Any] = []
        server.during = lambda: others.extend(each.get(location, with_keys).content for each in [*warm[1:], environment()])

        fetched = warm[0].get(location, with_keys)

        assert (fetched.content, others) == (NEW, [OLD] * 3)
        assert server.fetches == 2

    def test_the_others_see_what_was_fetched_a_second_later(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        warm = [environment() for _ in range(2)]
        for each in warm:
            each.get(location, with_keys)
        clock.now += FRESH
        server.content = NEW
        server.during = lambda: warm[1].get(location, with_keys)
        warm[0].get(location, with_keys)

        clock.now += 1000

        assert warm[1].get(location, with_keys).content == NEW
        assert server.fetches == 2

    @pytest.mark.parametrize("trouble", [{"is_down": True}, {"status": 503}, {"status": 302}, {"content": {}}, {"body": b"{"}])
    def test_the_last_good_copy_is_served_for_a_day_with_one_attempt_a_minute(
        self,
        environment: Callable[[], Documents],
        server: DocumentServer,
        location: Location,
        clock: HandClock,
        trouble: dict[str, Any],
    ) -> None:
        began = clock.now
        warm = environment()
        warm.get(location, with_keys)
        for name, value in trouble.items():
            setattr(server, name, value)
        server.fetches = 0
        for _ in range(10):
            clock.now += FRESH // 2
            found = [each.get(location, with_keys) for each in (warm, environment(), warm)]
            assert {each.fetched_at for each in found} == {began}
            assert len({each.failure for each in found}) == 1
        attempts = server.fetches
        clock.now = began + MAX_STALE
        last = environment().get(location, with_keys)
        clock.now += 1

        assert attempts == 5
        assert last.failure
        for each in (warm, environment()):
            with pytest.raises(DocumentUnavailable):
                each.get(location, with_keys)

    def test_a_server_that_is_back_is_seen_within_a_minute(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        warm = environment()
        warm.get(location, with_keys)
        server.is_down = True
        clock.now += FRESH
        assert warm.get(location, with_keys).failure == "connect_failed: refused"
        server.is_down, server.content = False, NEW
        clock.now += FRESH

        found = warm.get(location, with_keys)

        assert (found.content, found.failure) == (NEW, None)

    def test_without_a_copy_there_is_one_attempt_every_ten_seconds(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        server.is_down = True
        warm = environment()
        for _ in range(6):
            for each in (warm, environment(), environment()):
                with pytest.raises(DocumentUnavailable, match="connect_failed"):
                    each.get(location, with_keys)
            clock.now += RETRY // 2

        assert server.fetches <= 4
        server.is_down = False
        clock.now += RETRY
        assert warm.get(location, with_keys).content == OLD

    def test_without_a_copy_what_somebody_else_is_fetching_is_waited_for(
        self, server: DocumentServer, location: Location, clock: HandClock, store: DocumentStore
    ) -> None:
        store.claim(location.key, clock.now, clock.now)
        attempted_at = clock.now

        def sleep(seconds: float) -> None:
            clock.sleep(seconds)
            if clock.now - attempted_at >= 1000:
                store.save(location.key, json.dumps(OLD), attempted_at)

        found = Documents(server.get, store, clock=clock, sleep=sleep).get(location, with_keys)

        assert (found.content, server.fetches) == (OLD, 0)

    def test_without_a_copy_nobody_waits_for_longer_than_two_seconds(
        self,
        environment: Callable[[], Documents],
        server: DocumentServer,
        location: Location,
        clock: HandClock,
        store: DocumentStore,
    ) -> None:
        store.claim(location.key, clock.now, clock.now)
        began, waiting = clock.now, environment()

        with pytest.raises(DocumentUnavailable, match="somebody else is fetching it"):
            waiting.get(location, with_keys)

        assert clock.now - began == 2000
        with pytest.raises(DocumentUnavailable):
            waiting.get(location, with_keys)
        assert clock.now - began == 2000, "for a second, the answer is known"
        assert server.fetches == 0

    def test_what_one_caller_accepts_another_may_refuse(
        self, documents: Documents, server: DocumentServer, location: Location
    ) -> None:
        server.content = {}
        documents.get(location, anything)

        with pytest.raises(DocumentInvalid, match="no keys"):
            documents.get(location, with_keys)

        assert server.fetches == 1

    def test_a_copy_of_a_looser_policy_does_not_serve_a_stricter_one(
        self, documents: Documents, server: DocumentServer, location: Location
    ) -> None:
        documents.get(replace(location, allowed_networks=("10.0.0.0/8",)), with_keys)
        documents.get(replace(location, ca_bundle="PEM"), with_keys)
        server.is_down = True

        with pytest.raises(DocumentUnavailable):
            documents.get(location, with_keys)

        assert server.fetches == 3

    def test_an_environment_that_was_frozen_overwrites_nothing_newer(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        frozen, awake = environment(), environment()
        frozen.get(location, with_keys)
        clock.now += FRESH

        def freeze() -> None:
            clock.now += FRESH
            server.content = NEW
            awake.get(location, with_keys)

        server.during = freeze
        frozen.get(location, with_keys)

        assert environment().get(location, with_keys).content == NEW
        assert frozen.get(location, with_keys).content == NEW

    def test_whoever_misses_something_has_a_newer_copy_once_in_ten_seconds(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        first, second = environment(), environment()
        first.get(location, with_keys)
        server.content = NEW
        clock.now += RETRY - 1
        too_soon = first.renewed(location, with_keys).content
        clock.now += 1

        renewed = [each.renewed(location, with_keys).content for each in (first, second, first, second)]

        assert (too_soon, renewed) == (OLD, [NEW] * 4)
        assert server.fetches == 2

    def test_whoever_misses_something_goes_on_with_the_copy_if_there_is_no_newer_one(
        self, documents: Documents, server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        documents.get(location, with_keys)
        server.is_down = True
        clock.now += RETRY

        found = [documents.renewed(location, with_keys) for _ in range(3)]

        assert [each.content for each in found] == [OLD] * 3
        assert server.fetches == 2

    def test_a_fetch_that_is_asked_for_goes_to_the_server_and_serves_all(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        environment().get(location, with_keys)
        server.content = NEW
        clock.now += 1

        fetched = environment().fetch(location, with_keys)

        assert fetched.content == environment().get(location, with_keys).content == NEW
        assert server.fetches == 2

    @pytest.mark.parametrize(
        ("trouble", "expected"),
        [
            ({"is_down": True}, (DocumentUnavailable, "connect_failed")),
            ({"status": 404}, (DocumentUnavailable, "http_404")),
            ({"status": 301}, (DocumentUnavailable, "http_301; redirects are not followed")),
            ({"content": {}}, (DocumentInvalid, "no keys")),
            ({"content": []}, (DocumentInvalid, "not a JSON object")),
            ({"body": b'{"keys": 1, "keys": 2}'}, (DocumentInvalid, "the member 'keys' is there twice")),
            ({"body": b'{"keys": "\xff"}'}, (DocumentInvalid, "utf-8")),
            ({"body": b""}, (DocumentInvalid, "not JSON that can be read")),
        ],
    )
    def test_a_fetch_that_is_asked_for_and_fails_says_why_and_leaves_the_copy(
        self,
        environment: Callable[[], Documents],
        server: DocumentServer,
        location: Location,
        trouble: dict[str, Any],
        expected: tuple[type[DocumentUnavailable], str],
    ) -> None:
        kind, words = expected
        environment().get(location, with_keys)
        for name, value in trouble.items():
            setattr(server, name, value)

        with pytest.raises(kind, match=words) as raised:
            environment().fetch(location, with_keys)

        assert raised.type is kind
        assert environment().get(location, with_keys).content == OLD

    def test_the_largest_of_documents_is_stored(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location
    ) -> None:
        server.body = b'{"keys": "%b"}' % (b"\xc3\xa4" * ((MAX_OCTETS - 20) // 2))
        environment().get(location, with_keys)
        server.is_down = True

        assert len(str(environment().get(location, with_keys).content["keys"])) == (MAX_OCTETS - 20) // 2
