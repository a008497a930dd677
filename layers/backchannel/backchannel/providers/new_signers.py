"""Announces on the event bus which keys have begun to sign."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from backchannel.announcements.details import Announcement, KeyRotated, announcement, event_id, rfc3339
from backchannel.aws.sqs import Queue
from backchannel.errors import NotFoundError
from backchannel.providers.table import Provider, Providers
from backchannel.tokens.key_ring import SigningKey

ANNOUNCED_FOR = 2_100_000
"""Milliseconds: 35 minutes, so that a key is announced by two more passes, should the first announcement have failed."""


@dataclass(frozen=True, slots=True)
class NewSigners:
    """Looks at the rings as they are stored; ``now`` is in milliseconds since the epoch."""

    providers: Providers
    queue: Queue
    now: Callable[[], int]

    def announce(self, names: Iterable[str]) -> None:
        """Announce the keys of these providers that have begun to sign lately; each time with the same id.

        Raises:
            InternalFailure: some are not announced.

        """
        since = self.now() - ANNOUNCED_FOR
        self.queue.send(each.outgoing() for name in names for each in self._new(name, since))

    def _new(self, name: str, since: int) -> Iterator[Announcement]:
        try:
            provider = self.providers.get(name)
        except NotFoundError:  # it has been removed meanwhile
            return
        for key in provider.keys:
            if key.state == "signing" and key.since >= since:
                yield _rotated(provider, key)


def _rotated(provider: Provider, key: SigningKey) -> Announcement:
    detail = KeyRotated(
        id=event_id(KeyRotated.kind, provider.provider, provider.issuer, key.kid, key.alg, key.since),
        at=rfc3339(key.since),
        provider=provider.provider,
        issuer=provider.issuer,
        kid=key.kid,
        alg=key.alg,
        is_own=key.is_own,
    )
    return announcement(detail, key.since)
