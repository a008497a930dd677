"""The service's API: signed requests, and what its answers mean."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from backchannel_cli.errors import CommandError, FailureError, UsageError
from backchannel_cli.refusals import Command, refusal

Json = dict[str, Any]
Query = Mapping[str, str | int | list[str] | None]

WAITS = (0.5, 1.0, 2.0)
"""Seconds between attempts, if the service does not say how long to wait."""
LONGEST_WAIT = 10.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
AGAIN = frozenset({429, 500, 502, 503, 504})
SERVER_ERRORS = 500
NOTHING_DONE = 429
"""The one status after which also a request may be repeated that does something each time."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnansweredError(Exception):
    """There was no answer; ``is_sent`` says whether the request may have arrived all the same."""

    def __init__(self, message: str, *, is_sent: bool) -> None:
        super().__init__(message)
        self.is_sent = is_sent


Send = Callable[[str, str, bytes, Mapping[str, str]], Response]
"""Sends a signed request: method, URL, body, headers.

Raises:
    UnansweredError: nothing came back.

"""


class Service:
    """The API of one deployed service. Every method raises a ``CommandError`` if the service does not do what is asked."""

    def __init__(self, url: str, send: Send, say: Callable[[str], None], command: Command) -> None:
        self.url = url
        self._send = send
        self._say = say
        self._command = command

    def get(self, path: str, query: Query | None = None) -> Json:
        return self.request("GET", path, query=query)

    def put(self, path: str, document: Json) -> Json:
        return self.request("PUT", path, document)

    def patch(self, path: str, document: Json) -> Json:
        return self.request("PATCH", path, document)

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def post(self, path: str, document: Json | None = None, query: Query | None = None, *, doubt: str | None = None) -> Json:
        """Make a POST; it is repeated after 5xx and when nothing came back, like all other methods, unless ``doubt`` is given.

        ``doubt`` is for what does something each time: what to do if nobody knows whether it was done.
        """
        return self.request("POST", path, document, query, doubt=doubt)

    def list(self, path: str, member: str, query: Query | None = None) -> Iterator[Json]:
        """Yield what a list has in ``member``, page by page."""
        after: str | None = None
        while True:
            page = self.get(path, {**(query or {}), "after": after})
            if member not in page:
                raise self._foreign(path)
            yield from page[member]
            after = page.get("next")
            if after is None:
                return

    def request(
        self,
        method: str,
        path: str,
        document: Json | None = None,
        query: Query | None = None,
        *,
        doubt: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Make any request, as often as it takes; ``body`` is sent as it is, ``document`` as JSON."""
        content = body if body is not None else b"" if document is None else json.dumps(document).encode()
        sent = {"Content-Type": "application/json"} if content else {}
        sent |= dict(headers or {})
        url = self.url + path + _query_string(query)
        for wait in (*WAITS, None):
            try:
                answer = self._send(method, url, content, sent)
            except UnansweredError as error:
                if wait is None or (error.is_sent and doubt):
                    raise self._unanswered(error, doubt) from error
                self._wait(str(error), wait)
                continue
            if answer.status not in AGAIN or wait is None or (doubt and answer.status != NOTHING_DONE):
                return self._content(method, path, answer, doubt)
            self._wait(f"The service answered {answer.status}", _asked_wait(answer) or wait)
        raise AssertionError

    def _wait(self, why: str, seconds: float) -> None:
        seconds *= random.uniform(1, 1.25)  # noqa: S311 - spreads repetitions, no secret
        self._say(f"{why}; trying again in {seconds:.1f} s.")
        time.sleep(seconds)

    def _content(self, method: str, path: str, answer: Response, doubt: str | None) -> Json:
        try:
            content = json.loads(answer.body) if answer.body else {}
        except ValueError:
            content = None
        is_success = 200 <= answer.status < 300  # noqa: PLR2004 - HTTP's
        if is_success and isinstance(content, dict):
            return content
        if is_success:
            raise self._foreign(path)
        error = refusal(method, path, answer.status, content if isinstance(content, dict) else {}, self._command)
        if doubt and answer.status >= SERVER_ERRORS:
            error.next_step = f"{doubt}\n{error.next_step}"
        raise error

    def _foreign(self, path: str) -> CommandError:
        return FailureError(
            f"What answers to {path} is not Backchannel.",
            f"Compare the address (`{self._command('context')}`) with the stack's output ApiUrl.",
        )

    def _unanswered(self, error: UnansweredError, doubt: str | None) -> CommandError:
        tried = f"{doubt}\n" if error.is_sent and doubt else ""
        is_here = urlsplit(self.url).hostname in LOOPBACK
        here, there = "Is the local stack up? Run `make up`.", f"Run `{self._command('doctor')}` to see what does not work."
        return FailureError(f"No answer from {self.url}: {error}.", tried + (here if is_here else there))


def path_of(*parts: str) -> str:
    """Return the path of a resource; a client's id may be a URL.

    Raises:
        UsageError: a name is a step in a path: `client rm acme/..` would remove the provider.

    """
    for part in parts:
        if part in {"", ".", ".."}:
            raise UsageError(f"{part!r} names nothing.", "Write a name such as acme, or acme/wiki.")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _query_string(query: Query | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"?{urlencode(given, doseq=True, quote_via=quote)}" if given else ""


def _asked_wait(answer: Response) -> float | None:
    asked = {name.lower(): value for name, value in answer.headers.items()}.get("retry-after", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdecimal() else None
