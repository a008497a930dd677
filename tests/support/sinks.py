"""Relying parties that take tokens at once, and keep what each claims."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

from tests.load.sink import Connection
from tests.support.provider import Json
from tests.support.signing import unverified_part


class Tokens:
    """What relying parties were sent, and when."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Json]] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        claims = unverified_part(body.decode().removeprefix("logout_token="), 1)
        with self._lock:
            self.taken.append((time.time(), claims))

    def of(self, client_id: str) -> list[tuple[float, Json]]:
        with self._lock:
            return [(at, claims) for at, claims in self.taken if claims["aud"] == client_id]


@contextlib.contextmanager
def listening() -> Iterator[tuple[Tokens, str]]:
    """Run relying parties in a thread; yield what they take, and their URI."""
    tokens, loop = Tokens(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(loop.create_server(lambda: Connection(tokens.take), "127.0.0.1", 0), loop).result()
    try:
        yield tokens, f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/logout"
    finally:
        loop.call_soon_threadsafe(serving.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
