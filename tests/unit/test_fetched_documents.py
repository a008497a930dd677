import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backchannel.tokens.document_store import FRESH, DocumentStore
from backchannel.tokens.documents import MAX_MEMORY, MAX_OCTETS, Documents
from backchannel.tokens.locations import Location
from tests.support.documents import NEW, OLD, DocumentPromises, DocumentServer, HandClock, MemoryStore, anything, with_keys


class TestInMemory(DocumentPromises):
    @pytest.fixture
    def store(self) -> DocumentStore:
        return MemoryStore()

    def test_threads_that_have_no_copy_make_one_fetch(
        self, documents: Documents, server: DocumentServer, location: Location
    ) -> None:
        everybody = threading.Barrier(10)
        server.during = lambda: threading.Event().wait(0.1)  # a moment, so that all of them ask meanwhile

        def ask(_: int) -> object:
            everybody.wait()
            return documents.get(location, with_keys).content

        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(ask, range(10))) == [OLD] * 10
        assert server.fetches == 1

    def test_threads_that_have_a_copy_do_not_wait_for_the_one_that_fetches(
        self, documents: Documents, server: DocumentServer, location: Location, clock: HandClock
    ) -> None:
        documents.get(location, with_keys)
        clock.now += FRESH
        server.content = NEW
        is_fetching, may_end = threading.Event(), threading.Event()

        def hang() -> None:
            is_fetching.set()
            may_end.wait(5)

        server.during = hang
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(documents.get, location, with_keys)
            is_fetching.wait(5)
            meanwhile = [documents.get(location, with_keys).content for _ in range(10)]
            may_end.set()

        assert meanwhile == [OLD] * 10
        assert slow.result().content == NEW
        assert server.fetches == 2

    def test_an_environment_keeps_no_more_documents_than_its_memory_bears(
        self, environment: Callable[[], Documents], server: DocumentServer, location: Location
    ) -> None:
        server.body = b'{"keys": "%b"}' % (b"0" * (MAX_OCTETS - 20))
        documents = environment()

        for number in range(MAX_MEMORY // MAX_OCTETS + 10):
            documents.get(Location(f"{location.uri}/{number}"), anything)

        assert documents._copies.currsize <= MAX_MEMORY
        assert len(documents._copies) >= MAX_MEMORY // MAX_OCTETS - 1


@pytest.mark.parametrize(
    "other",
    [
        Location("https://op.example/b", ("10.0.0.0/8",), "PEM"),
        Location("https://op.example/a", ("10.0.0.0/9",), "PEM"),
        Location("https://op.example/a", ("10.0.0.0/8", "10.0.0.0/9"), "PEM"),
        Location("https://op.example/a", ("10.0.0.0/8",), "MEP"),
        Location("https://op.example/a", ("10.0.0.0/8",)),
    ],
)
def test_a_location_s_key_is_made_of_all_its_parts(other: Location) -> None:
    one = Location("https://op.example/a", ("10.0.0.0/8",), "PEM")

    assert one.key != other.key
    assert one.key == Location("https://op.example/a", ("10.0.0.0/8",), "PEM").key
