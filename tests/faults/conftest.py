import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from backchannel.egress.post import Egress

type MakeEgress = Callable[..., Egress]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """The server side of https://rp.test, and of literal loopback addresses."""
    return server_context(authority, "rp.test", "127.0.0.1", "::1")


@pytest.fixture
def make_egress() -> Iterator[MakeEgress]:
    """Make an Egress whose resolver puts every name on 127.0.0.1."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Egress:
            return stack.enter_context(contextlib.closing(Egress(**({"resolve": resolver("127.0.0.1")} | options))))

        yield make


@pytest.fixture
def egress(make_egress: MakeEgress) -> Egress:
    """As it ships: for faults that show at once, however busy the machine."""
    return make_egress()


@pytest.fixture
def impatient_egress(make_egress: MakeEgress) -> Egress:
    """For faults that take their time."""
    return make_egress(connect_timeout=0.3, read_timeout=0.25, deadline=0.4)


def server_context(authority: trustme.CA, *names: str, not_after: datetime = datetime(2099, 1, 1, tzinfo=UTC)) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*names, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=not_after)
    certificate.configure_cert(context)
    return context


def resolver(*answers: str | Sequence[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Stand in for ``socket.getaddrinfo``: the first call gets the first answer, and the last one is for ever."""
    script = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]

    def resolve(_host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        answer = script.pop(0) if len(script) > 1 else script[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port)) for text in answer]

    return resolve


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    elapsed = time.monotonic() - start
    assert elapsed < seconds, f"took {elapsed:.2f} s"
