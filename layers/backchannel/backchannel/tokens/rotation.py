"""How a key ring changes (Core, section 10.1.1): a key is published before it signs, and for a while after.

Pure: each function returns the next ring, and the same ring where there is nothing to do; so each may be run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backchannel.tokens.key_ring import PUBLISHED, SigningKey

type Ring = tuple[SigningKey, ...]

DAY = 86_400_000

PENDING_DAYS = 30
"""How long KMS waits before it deletes a key: the longest that it offers. Until then, ``CancelKeyDeletion`` brings it back."""

MARGIN = 30_000
"""Milliseconds on top of the wait for relying parties' caches: a write may take effect 14 s after it began, and clocks differ."""


@dataclass(frozen=True, slots=True)
class Periods:
    """In milliseconds: ``wait`` is how long a key is published before it signs, ``grace`` how long after."""

    wait: int
    grace: int


def added(ring: Ring, key: SigningKey, now: int) -> Ring:
    """Add a key: it signs if no other does for its algorithm, for want of a better one; otherwise it is to sign next."""
    if any(each.kms_key_arn == key.kms_key_arn for each in ring):
        return ring
    states = {each.state for each in ring if each.alg == key.alg}
    if "signing" not in states:
        return (*ring, replace(key, state="signing", since=now))
    return ring if "published" in states else (*ring, replace(key, state="published", since=now))


def advanced(ring: Ring, periods: Periods, now: int) -> Ring:
    """Do what is due: let the next key sign, withdraw the one before, forget what KMS has deleted."""
    ready = {key.alg for key in ring if key.state == "published" and now - key.since >= periods.wait + MARGIN}
    ring = tuple(_advanced(key, ready, periods, now) for key in ring)
    signed = {key.alg for key in ring if key.state == "signing"}
    return tuple(key for key in ring if not _is_gone(key, signed, now))


def withdrawn(ring: Ring, kid: str, now: int) -> Ring:
    """Withdraw a key at once, whatever it costs. If it signs and the next key is published, that one takes over.

    A key of the provider's own may be in the ring for more than one algorithm; it is withdrawn for all.
    """
    suspects = [key for key in ring if key.kid == kid and key.state in PUBLISHED]
    takes_over = {key.alg for key in suspects if key.state == "signing"}
    return tuple(
        replace(key, state="withdrawn", since=now)
        if key in suspects
        else replace(key, state="signing", since=now)
        if key.alg in takes_over and key.state == "published"
        else key
        for key in ring
    )


def replaced_by_own(ring: Ring, own: SigningKey, now: int) -> Ring:
    """Let a key of the provider's own sign; it has been published by the provider. The keys before it retire."""
    left = (key for key in ring if (key.alg, key.kid) != (own.alg, own.kid))
    return (*(_retired(key, now) if key.alg == own.alg else key for key in left), replace(own, state="signing", since=now))


def deleted(ring: Ring, kms_key_arn: str, now: int) -> Ring:
    """Note that KMS is going to delete a key that was withdrawn."""
    return tuple(
        replace(key, state="deleted", since=now) if key.kms_key_arn == kms_key_arn and key.state == "withdrawn" else key
        for key in ring
    )


def due(ring: Ring, days: int | None, now: int) -> list[str]:
    """Return the algorithms whose key has signed for so many days and has no next one yet; None is never."""
    if days is None:
        return []
    followed = {key.alg for key in ring if key.state == "published"}
    signing = (key for key in ring if key.state == "signing" and not key.is_own and key.alg not in followed)
    return [key.alg for key in signing if now - key.since >= days * DAY]


def without_signer(ring: Ring) -> list[str]:
    """Return the algorithms of the ring for which no key signs."""
    signed = {key.alg for key in ring if key.state == "signing"}
    return sorted({key.alg for key in ring} - signed)


def until(key: SigningKey, periods: Periods, days: int | None) -> int | None:
    """Return when a key's state is due to end, None if that is not known."""
    match key.state:
        case "published":
            return key.since + periods.wait + MARGIN
        case "signing":
            return None if days is None or key.is_own else key.since + days * DAY
        case "retired":
            return key.since + periods.grace
        case "deleted":
            return key.since + PENDING_DAYS * DAY
    return None


def to_delete(ring: Sequence[SigningKey]) -> list[SigningKey]:
    """Return the keys that KMS is to delete; never one of the provider's own."""
    return [key for key in ring if key.state == "withdrawn" and not key.is_own]


def _advanced(key: SigningKey, ready: set[str], periods: Periods, now: int) -> SigningKey:
    match key.state:
        case "published" if key.alg in ready:
            return replace(key, state="signing", since=now)
        case "signing" if key.alg in ready:
            return replace(key, state="retired", since=now)
        case "retired" if now - key.since >= periods.grace:
            return replace(key, state="withdrawn", since=now)
    return key


def _retired(key: SigningKey, now: int) -> SigningKey:
    return replace(key, state="retired", since=now) if key.state in {"published", "signing"} else key


def _is_gone(key: SigningKey, signed: set[str], now: int) -> bool:
    if key.is_own:
        return key.state == "withdrawn" and key.alg in signed
    return key.state == "deleted" and now - key.since >= PENDING_DAYS * DAY
