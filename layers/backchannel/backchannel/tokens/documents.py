"""JSON documents of others by their location: a provider's JWKS and metadata, a client's JWKS.

A copy is fresh for a minute, in memory and in a table. When it is stale, one caller of all environments fetches the document
anew; meanwhile, and for a day if that fails, all others go on with the last good copy. So however many ask, the document's server
sees one request a minute.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cachetools

from backchannel.errors import DocumentInvalid, DocumentUnavailable, RelyingPartyFault
from backchannel.strict_json import parse
from backchannel.tokens.document_store import FRESH, MAX_STALE, RETRY, DocumentStore, StoredDocument
from backchannel.tokens.locations import Location

MAX_OCTETS = 262_144
"""Of a document; an item of DynamoDB holds 400 KB."""

MAX_MEMORY = 64 * MAX_OCTETS
"""Octets of all the documents that an environment keeps."""

_LOOK = 1000
"""Milliseconds between two looks at the table while somebody else is fetching the document."""

_PAUSE, _LOOKS = 250, 8
"""A caller without any copy looks so often, with so many milliseconds between, for what somebody else is fetching."""

_LOCKS = 64

_RENEWALS = 1024
"""Documents of which an environment remembers when it was last asked for a newer copy."""

type Accept = Callable[[Mapping[str, Any]], object]
"""Raises ValueError, with words for the operator, if a document is not what the caller needs."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, which is shared by all who read it, and when it was fetched (in milliseconds since the epoch).

    ``failure``: why there is no newer copy; None if nothing is wrong.
    """

    content: Mapping[str, Any]
    fetched_at: int
    failure: str | None = None


class FetchResponse(Protocol):
    """What a server answered: the body is whole."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Fetch(Protocol):
    """``Egress.get``."""

    def __call__(
        self, uri: str, /, *, allowed_networks: tuple[str, ...], ca_bundle: str | None, max_octets: int
    ) -> FetchResponse: ...


@dataclass(frozen=True, slots=True)
class _Copy:
    """What this environment knows of a document; ``look_at``: when to look at the table again."""

    content: Mapping[str, Any] | None
    fetched_at: int
    failure: str | None
    look_at: int
    octets: int

    def document(self, accept: Accept, now: int) -> Document:
        if self.content is None or now - self.fetched_at > MAX_STALE:
            raise DocumentUnavailable(self.failure or "somebody else is fetching it")
        _check(self.content, accept)
        return Document(self.content, self.fetched_at, self.failure)


class Documents:
    """Thread-safe; ``clock`` is the wall's, in milliseconds, ``sleep`` takes seconds."""

    def __init__(
        self,
        fetch: Fetch,
        store: DocumentStore,
        *,
        clock: Callable[[], int] = lambda: round(time.time() * 1000),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fetch = fetch
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._copies = cachetools.LRUCache[str, _Copy](MAX_MEMORY, getsizeof=lambda copy: copy.octets)
        self._renewed_at = cachetools.LRUCache[str, int](_RENEWALS)
        self._copies_lock = threading.Lock()
        self._locks: Sequence[threading.Lock] = [threading.Lock() for _ in range(_LOCKS)]

    def get(self, location: Location, accept: Accept) -> Document:
        """Return a document as it was at most a minute ago, or else the last good copy.

        Raises:
            DocumentUnavailable: there is no copy, or only one that is older than MAX_STALE.
            DocumentInvalid: there is none but one that the caller does not accept.
            StorageUnavailable: the table does not answer.

        """
        key = location.key
        copy = self._known(key)
        if copy is None or copy.look_at <= self._clock():
            copy = self._look(key, location, accept, copy)
        return copy.document(accept, self._clock())

    def renewed(self, location: Location, accept: Accept) -> Document:
        """Return a document for a reader who misses something in the copy: as it was at most RETRY ago, if it is to be had.

        However many ask, of all environments, its server sees one request in that time.

        Raises:
            InternalFailure: as ``get``.

        """
        key, now = location.key, self._clock()
        with self._copies_lock:
            known = self._copies.get(key)
            since = max(self._renewed_at.get(key, 0), 0 if known is None else known.fetched_at)
            is_due = now - since >= RETRY
            if is_due:
                self._renewed_at[key] = now
        if is_due and self._store.claim(key, now, now - RETRY):
            try:
                self._keep(key, self._attempt(key, location, accept, now))
            except DocumentUnavailable as failure:
                self._keep(key, _copy(self._store.get(key) or StoredDocument(now, failure=str(failure)), now))
        elif is_due:
            self._keep(key, _copy(self._wait(key, newer_than=now - RETRY), self._clock()))
        return self.get(location, accept)

    def fetch(self, location: Location, accept: Accept) -> Document:
        """Return a document as it is now; it becomes the copy of all environments.

        Raises:
            DocumentUnavailable: it was not to be had.
            DocumentInvalid: it is not what the caller accepts; the last good copy stays as it is.
            StorageUnavailable: the table does not answer.

        """
        key, now = location.key, self._clock()
        self._store.claim(key, now, now)
        copy = self._attempt(key, location, accept, now)
        self._keep(key, copy)
        return copy.document(accept, now)

    def _look(self, key: str, location: Location, accept: Accept, known: _Copy | None) -> _Copy:
        """Look for a newer copy. If another thread is doing so, it is waited for only where there is nothing to go on with."""
        lock = self._locks[hash(key) % _LOCKS]
        if known is None or known.content is None:
            lock.acquire()
        elif not lock.acquire(blocking=False):
            return known
        try:
            copy = self._known(key)
            if copy is None or copy.look_at <= self._clock():
                copy = self._refresh(key, location, accept)
                self._keep(key, copy)
            return copy
        finally:
            lock.release()

    def _refresh(self, key: str, location: Location, accept: Accept) -> _Copy:
        now = self._clock()
        stored = self._store.get(key) or StoredDocument(0)
        if stored.age(now) < FRESH:
            return _copy(stored, now)
        due = now - stored.interval(now)
        if stored.attempted_at <= due and self._store.claim(key, now, due):
            try:
                return self._attempt(key, location, accept, now)
            except DocumentUnavailable as failure:
                return _copy(replace(stored, attempted_at=now, failure=str(failure)), now)
        if not stored.has_copy(now):
            stored = self._wait(key)
        return _copy(stored, self._clock())

    def _attempt(self, key: str, location: Location, accept: Accept, now: int) -> _Copy:
        """Fetch a document that is claimed, and let the others know what came of it."""
        try:
            body, content = self._load(location, accept)
        except DocumentUnavailable as failure:
            self._store.fail(key, str(failure), now)
            raise
        self._store.save(key, body, now)
        return _Copy(content, now, None, now + FRESH, len(body))

    def _load(self, location: Location, accept: Accept) -> tuple[str, Mapping[str, Any]]:
        networks, ca_bundle = location.allowed_networks, location.ca_bundle
        try:
            answer = self._fetch(location.uri, allowed_networks=networks, ca_bundle=ca_bundle, max_octets=MAX_OCTETS)
        except RelyingPartyFault as fault:
            raise DocumentUnavailable(f"{fault.code}: {fault}") from fault
        if answer.status != 200:  # noqa: PLR2004
            hint = "; redirects are not followed" if answer.status // 100 == 3 else ""  # noqa: PLR2004
            raise DocumentUnavailable(f"http_{answer.status}{hint}")
        try:
            body = answer.body.decode("utf-8-sig")
            content = parse(body)
        except ValueError as error:
            raise DocumentInvalid(str(error)) from error
        _check(content, accept)
        return body, content

    def _wait(self, key: str, newer_than: int = 0) -> StoredDocument:
        """Wait a little for what somebody else is fetching."""
        for _ in range(_LOOKS):
            self._sleep(_PAUSE / 1000)
            stored = self._store.get(key) or StoredDocument(0)
            has_copy = stored.fetched_at > newer_than and stored.has_copy(self._clock())
            if has_copy or stored.failure is not None:
                break
        return stored

    def _known(self, key: str) -> _Copy | None:
        with self._copies_lock:
            return self._copies.get(key)

    def _keep(self, key: str, copy: _Copy) -> None:
        with self._copies_lock:
            self._copies[key] = copy


def _check(content: Mapping[str, Any], accept: Accept) -> None:
    try:
        accept(content)
    except ValueError as error:
        raise DocumentInvalid(str(error)) from error


def _copy(stored: StoredDocument, now: int) -> _Copy:
    """Return what an environment goes on with, and for how long."""
    if stored.age(now) < FRESH:
        look_at = stored.fetched_at + FRESH
    elif stored.failure is None:  # somebody is fetching it
        look_at = now + _LOOK
    else:
        look_at = max(stored.attempted_at + stored.interval(now), now + _LOOK)
    content = parse(stored.body) if stored.has_copy(now) else None
    return _Copy(content, stored.fetched_at, stored.failure, look_at, len(stored.body) + 1)
