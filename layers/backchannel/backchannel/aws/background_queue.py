"""SQS for a caller that waits no longer than it says, whatever happens: messages are sent in the background.

One thread sends, the newest message first. What it could not send stays, and is tried again after the next one was sent, as long
as the process lives. This is no ``Queue``: its import, and that of what it needs, is a fraction of the SDK's.
"""

import http.client
import json
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from backchannel.aws.signature import signed_headers

TIMEOUT = 1.0
"""Seconds for each of connecting, sending and waiting for an answer; the caller does not wait for them."""

KEPT = 100
"""Messages that wait. Of more, the oldest are lost."""

IDLE = 20.0
"""Seconds after which a connection is not used again: what is between may have forgotten it, while we were frozen."""


_ANSWER = 65_536
"""Octets of an answer that are read; SQS's has a few hundred."""


class NotTakenError(Exception):
    """SQS has answered, but not taken the message; the text is the status."""


class _Message:
    """A message, and whether it was sent. ``tried``: there was at least one attempt that has ended."""

    def __init__(self, body: str) -> None:
        self.body = body
        self.tried = threading.Event()
        self.is_sent = False


class BackgroundQueue:
    """One SQS queue.

    ``environment`` holds the role's credentials and the region, as Lambda gives them.
    """

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        parts = urlsplit(url)
        self._url, self._host, self._environment = url, parts.netloc, environment
        self._tls = None if parts.scheme == "http" else ssl.create_default_context(cafile=environment.get("AWS_CA_BUNDLE"))
        self._pending: deque[_Message] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._works = False
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0
        self.last_error: str | None = None

    def prepare(self) -> None:
        """Begin to connect."""
        with self._lock:
            self._work()

    def send(self, body: str, patience: float) -> bool:
        """Send a message, or leave it to be sent later; True if it was sent within ``patience`` seconds."""
        message = _Message(body)
        with self._lock:
            self._pending.append(message)
            self._work()
        message.tried.wait(patience)
        return message.is_sent

    @property
    def waiting(self) -> int:
        """How many messages have not been sent."""
        return len(self._pending)

    def close(self) -> None:
        """Wait until what is being tried has ended, and close the connection."""
        if self._thread is not None and self._works:
            self._thread.join()
        self._close()

    def _work(self) -> None:
        if not self._works:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
            self._works = True

    def _run(self) -> None:
        failed: _Message | None = None
        with suppress(Exception):  # the first message fails by the same, and says so
            self._connected()
        while (message := self._next(failed)) is not None:
            failed = None if self._is_sent(message) else message
            message.tried.set()

    def _next(self, failed: _Message | None) -> _Message | None:
        """Return the newest message. Where even that one has just failed, nothing more is tried now."""
        with self._lock:
            if not self._pending or self._pending[-1] is failed:
                self._works = False
                return None
            return self._pending[-1]

    def _is_sent(self, message: _Message) -> bool:
        try:
            self._post(message.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message stays
            self.last_error = f"{type(error).__name__}: {error}" if isinstance(error, NotTakenError) else type(error).__name__
            self._close()
            return False
        with self._lock, suppress(ValueError):  # newer ones may have displaced it
            self._pending.remove(message)
        message.is_sent = True
        return True

    def _post(self, body: str) -> None:
        request = json.dumps({"QueueUrl": self._url, "MessageBody": body}).encode()
        if self._connection is not None and time.time() - self._used < IDLE:
            with suppress(OSError, http.client.HTTPException):
                self._request(self._connection, request)
                return
        self._close()
        self._request(self._connected(), request)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection: http.client.HTTPConnection
            if self._tls is None:
                connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
            else:
                connection = http.client.HTTPSConnection(self._host, timeout=TIMEOUT, context=self._tls)
            try:
                connection.connect()
            except BaseException:
                connection.close()
                raise
            self._connection, self._used = connection, time.time()
        return self._connection

    def _request(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        region = self._environment["AWS_REGION"]
        headers = signed_headers(
            self._host, "AmazonSQS.SendMessage", body, region=region, credentials=self._environment, now=time.time()
        )
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        content = answer.read(_ANSWER)
        self._used = time.time()
        if answer.status != http.client.OK or b'"MessageId"' not in content:  # an answer may break off
            raise NotTakenError(str(answer.status))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
