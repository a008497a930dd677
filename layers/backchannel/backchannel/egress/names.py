"""Looks up the addresses of a host, and waits no longer than its caller can."""

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from backchannel.errors import DnsFailure

type Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""As ``socket.getaddrinfo``."""

MAX_LOOKUPS = 128
"""Names looked up at once. A POST gives its name up after 8 s, the system's resolver may hang on it for 30 s (three servers, two
tries of 5 s each): ten POSTs at a time can leave 40 names hanging, and further names must not wait for those.
"""


class Resolver:
    """Bounds the wait for ``getaddrinfo``, which nothing can interrupt.

    A name that hangs holds one thread, however many deliveries ask for it: others must not wait for its sake.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._executor = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolve")
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[Sequence[tuple[Any, ...]]]] = {}

    def __call__(self, host: str, port: int, timeout: float) -> list[str]:
        with self._lock:
            lookup = self._running.get((host, port))
            if lookup is None:
                lookup = self._executor.submit(self._resolve, host, port, type=socket.SOCK_STREAM)
                self._running[host, port] = lookup
                lookup.add_done_callback(lambda _: self._running.pop((host, port)))
        try:
            found = lookup.result(timeout)
        except (OSError, UnicodeError) as error:  # gaierror, our own TimeoutError, a label that IDNA cannot encode
            raise DnsFailure(f"{host}: {error!r}") from error
        if not found:
            raise DnsFailure(f"{host}: no address")
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
