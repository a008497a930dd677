"""Carries out what a key ring needs: keys made, followed by others, deleted. Every step may be repeated or cut off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from backchannel.errors import BackchannelError, KeyServiceUnavailable, NotFoundError
from backchannel.providers.table import Providers
from backchannel.tokens import rotation
from backchannel.tokens.key_ring import PUBLISHED, SigningKey, signer
from backchannel.tokens.kms_keys import KmsKeys
from backchannel.tokens.rotation import Periods, Ring


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass over all providers came to."""

    providers: int
    failed: list[tuple[str, BackchannelError]]
    foreign_policies: list[str]
    """ARNs of keys whose policy is not the one that they were made with."""
    left_over: list[str]
    """ARNs of keys that no ring names; KMS will delete them."""


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """Changes providers' key rings; ``now`` is in milliseconds since the epoch.

    A key is made before a ring names it. If two runs make one at once, the ring takes the first; the other is deleted by its run,
    or by a later pass if that run has died.
    """

    providers: Providers
    keys: KmsKeys
    periods: Periods
    now: Callable[[], int]

    def ensure(self, provider: str, alg: str) -> None:
        """Let a provider have a key that signs with ``alg``."""
        if signer(self.providers.get(provider).keys, alg) is None:
            self._add(provider, alg, follows=None)

    def begin(self, provider: str, algs: Sequence[str]) -> None:
        """Publish the key that is to sign next with each of these algorithms, unless there is one already."""
        ring = self.providers.get(provider).keys
        for alg in algs:
            if not any(key.alg == alg and key.state == "published" for key in ring):
                self._add(provider, alg, follows=_arn(signer(ring, alg)))

    def withdraw(self, provider: str, kid: str) -> None:
        """Stop signing with a key, and publishing it, at once. Deliveries wait until another key of its algorithm signs."""
        self._change(provider, lambda ring: rotation.withdrawn(ring, kid, self.now()))
        self.advance(provider)

    def advance(self, provider: str) -> Ring:
        """Do what is due for a provider's ring; return it. A key that KMS does not delete does not keep its successor back."""
        ring = self._change(provider, lambda ring: rotation.advanced(ring, self.periods, self.now()))
        try:
            ring = self._deleted(provider, ring)
        finally:
            for alg in rotation.without_signer(ring):
                ring = self._add(provider, alg, follows=None)
        return ring

    def run(self) -> PassResult:
        """Do what is due for all providers. One that fails keeps no other back."""
        names = self.providers.names()
        failed: list[tuple[str, BackchannelError]] = []
        foreign: list[str] = []
        named: set[str] = set()
        for name in names:
            try:
                provider = self.providers.get(name)
                for alg in rotation.due(provider.keys, provider.key_rotation_days, self.now()):
                    self._add(name, alg, follows=_arn(signer(provider.keys, alg)))
                ring = self.advance(name)
                named.update(key.kms_key_arn for key in ring)
                foreign += [key.kms_key_arn for key in ring if self._has_foreign_policy(key)]
            except BackchannelError as error:
                if not isinstance(error, NotFoundError) or name in self.providers.names():  # it may have been removed meanwhile
                    failed.append((name, error))
        # After a failure, a key may be named by a ring that was not read. And a table that was made anew or restored says nothing
        # about the keys of a provider that it has never had.
        left_over = [] if failed else self.keys.left_over(named, self.providers.names_ever(), self.now())
        for arn in left_over:
            self.keys.schedule_deletion(arn)
        return PassResult(len(names), failed, foreign, left_over)

    def _deleted(self, provider: str, ring: Ring) -> Ring:
        """Let KMS delete the keys that were withdrawn. One that it does not delete keeps no other back."""
        failure: KeyServiceUnavailable | None = None
        for key in rotation.to_delete(ring):
            try:
                self.keys.schedule_deletion(key.kms_key_arn)
            except KeyServiceUnavailable as error:
                failure = error
                continue
            ring = self._change(provider, partial(rotation.deleted, kms_key_arn=key.kms_key_arn, now=self.now()))
        if failure is not None:
            raise failure
        return ring

    def _add(self, provider: str, alg: str, *, follows: str | None) -> Ring:
        """Make a key. The ring takes it unless another key than ``follows`` has begun to sign meanwhile."""
        made = self.keys.create(provider, alg)

        def taken(ring: Ring) -> Ring:
            return rotation.added(ring, made, self.now()) if _arn(signer(ring, alg)) in {None, follows} else ring

        ring = self._change(provider, taken)
        if all(key.kms_key_arn != made.kms_key_arn for key in ring):
            self.keys.schedule_deletion(made.kms_key_arn)
        return ring

    def _change(self, provider: str, change: Callable[[Ring], Ring]) -> Ring:
        return self.providers.change(provider, lambda found: replace(found, keys=change(found.keys))).keys

    def _has_foreign_policy(self, key: SigningKey) -> bool:
        return key.state in PUBLISHED and not key.is_own and not self.keys.has_our_policy(key.kms_key_arn)


def _arn(key: SigningKey | None) -> str | None:
    return None if key is None else key.kms_key_arn
