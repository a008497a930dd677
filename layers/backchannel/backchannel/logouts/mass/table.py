"""The mass logouts themselves: asked for, found by scope, listed, changed, taken for a turn, finished."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action

from backchannel.aws.dynamodb import (
    ConditionFailedError,
    Page,
    assignments,
    bind,
    key,
    optional_int,
    partition_page,
    read,
    storage,
    transaction,
    update_if,
)
from backchannel.errors import ConflictError, NotFoundError, StorageUnavailable
from backchannel.logouts.mass.items import LIST, MASS, SCOPE, MassItem, expiry
from backchannel.logouts.mass.pacing import Pace, kept
from backchannel.logouts.mass.records import Change, MassLogout, State
from backchannel.reasons import Reason

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = 15_000
"""Milliseconds without a renewal after which another run goes on with a mass logout. A call to AWS may take nearly as long."""

ACTIVE: tuple[State, ...] = ("running", "paused")
MOST_CHANGES = 100
"""Of a mass logout's history: the latest ones are kept."""

_HAS_JUST_ENDED = "a mass logout of this scope has just ended"

_LATEST = 9_999_999_999_999
_MOST_OCTETS = 200_000
"""Of listed subjects in one item, which has at most 400 KB."""


@dataclass(frozen=True, slots=True)
class TakenTurn:
    """The turn is ours, until the lease runs out."""

    mass: MassLogout
    lease: str


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else works on it, and is surely gone at ``until``."""

    until: int


class MassLogouts:
    """The operations on mass logouts."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(MassItem, dynamodb, table_name)

    # --- the operator -------------------------------------------------------------------------------------------------

    def create(self, mass: MassLogout, subjects: Sequence[str] = ()) -> MassLogout:
        """Store a mass logout, unless one is active in the same scope; return whichever it is."""
        for number, some in enumerate(_parts(subjects)):
            self._save(
                self._items(mass.mass_logout, key("SUBJECTS", str(number)), document=some, expires_at=expiry(mass.created_at))
            )
        lock = self._items(*_scope(mass.scope), mass_logout=mass.mass_logout, expires_at=expiry(mass.created_at))
        listed = key(f"{_LATEST - mass.created_at:013d}", mass.mass_logout)
        try:
            with transaction(self._items) as writes:
                writes.save(lock, self._items.pk.does_not_exist())
                writes.save(self._record(mass), self._items.pk.does_not_exist())
                writes.save(self._items(LIST, listed, mass_logout=mass.mass_logout, expires_at=expiry(mass.created_at)))
        except ConditionFailedError:
            found = read(self._items, *_scope(mass.scope))
            if found is None:
                raise StorageUnavailable(_HAS_JUST_ENDED) from None
            active = self.get(found.mass_logout)
            if active.state not in ACTIVE:
                raise StorageUnavailable(_HAS_JUST_ENDED) from None
            return active
        return mass

    def get(self, mass_logout: str) -> MassLogout:
        """Return a mass logout.

        Raises:
            NotFoundError: there is none of this id.

        """
        item = read(self._items, mass_logout, MASS)
        if item is None:
            raise NotFoundError.of("mass logout", mass_logout)
        return _mass_logout(item)

    def page(self, after: str | None, limit: int) -> Page[MassLogout]:
        """Return a page of all mass logouts, the newest first."""
        found = partition_page(self._items, LIST, self._items.sk > "0", after=after, limit=limit)
        keys = [(each.mass_logout, MASS) for each in found.items]
        with storage():
            records = {item.pk: item for item in self._items.batch_get(keys, consistent_read=True)}
        return Page([_mass_logout(records[pk]) for pk, _ in keys if pk in records], found.cursor)

    def pause(self, mass: MassLogout, change: Change) -> MassLogout:
        """Let it release nothing more until it is resumed."""
        return self._change(mass, change, ("running",), "paused")

    def resume(self, mass: MassLogout, change: Change) -> MassLogout:
        """Let it go on."""
        return self._change(mass, change, ("paused",), "running")

    def cancel(self, mass: MassLogout, change: Change) -> MassLogout:
        """Let it release nothing more for good; its scope is free for another."""
        item, actions = self._items(mass.mass_logout, MASS), self._changes("cancelled", change)
        try:
            with transaction(self._items) as writes:
                writes.update(item, actions, self._is_active())
                writes.delete(self._items(*_scope(mass.scope)))
        except ConditionFailedError:
            return self._unless(mass, "cancelled")
        return self.get(mass.mass_logout)

    def set_rates(self, mass: MassLogout, change: Change, rate: int, client_rate: int) -> MassLogout:
        """Change how fast it goes.

        Raises:
            ConflictError: it is not active any more.

        """
        item = self._items(mass.mass_logout, MASS)
        actions = [*self._changes(None, change), *assignments(self._items, rate=rate, client_rate=client_rate)]
        if not update_if(item, self._is_active(), actions):
            return self._unless(mass, None)
        return self._with_latest_history(item)

    def _change(self, mass: MassLogout, change: Change, from_: tuple[State, ...], to: State) -> MassLogout:
        item = self._items(mass.mass_logout, MASS)
        if not update_if(item, self._items.state.is_in(*from_), self._changes(to, change)):
            return self._unless(mass, to)
        return self._with_latest_history(item)

    def _with_latest_history(self, item: MassItem) -> MassLogout:
        """Forget the oldest changes of very many; if somebody else changes it now, they do."""
        surplus = len(item.history) - MOST_CHANGES
        if surplus > 0:
            is_as_read = size(self._items.history) == len(item.history)  # type: ignore[no-untyped-call]
            update_if(item, is_as_read, [self._items.history[place].remove() for place in range(surplus)])
        return _mass_logout(item)

    def _changes(self, state: State | None, change: Change) -> list[Action]:
        actions: list[Action] = [self._items.history.set(self._items.history.append([json.dumps(asdict(change))]))]
        return actions if state is None else [*actions, *assignments(self._items, state=state)]

    def _unless(self, mass: MassLogout, state: State | None) -> MassLogout:
        """Return a mass logout that is in the state already that it was to get."""
        found = self.get(mass.mass_logout)
        if found.state != state:
            is_over = found.state not in ACTIVE
            raise ConflictError(f"the mass logout is {found.state}" + (" for good: start a new one" if is_over else ""))
        return found

    def _is_active(self) -> Condition:
        active: Condition = self._items.state.is_in(*ACTIVE)
        return active

    # --- its work -----------------------------------------------------------------------------------------------------

    def take(self, mass_logout: str, turn: int, now: int) -> TakenTurn | Held | None:
        """Take a turn, if nobody works on the mass logout; None if the turn is out of date, or nothing is left to do."""
        items, item, lease = self._items, self._items(mass_logout, MASS), str(uuid.uuid4())
        is_free = items.leased_until.does_not_exist() | (items.leased_until <= now)
        is_due = (items.turn <= turn) & items.finished_at.does_not_exist()
        if update_if(item, is_due & is_free, assignments(items, turn=turn, lease=lease, leased_until=now + LEASE)):
            return TakenTurn(_mass_logout(item), lease)
        found = read(items, mass_logout, MASS)
        if found is None or found.turn > turn or found.finished_at is not None:
            return None
        return Held(int(found.leased_until or now))

    def renew(self, taken: TakenTurn, pace: Pace, now: int) -> TakenTurn | None:
        """Keep a turn, and return the mass logout as it is by now; None if another has it."""
        item = self._items(taken.mass.mass_logout, MASS)
        actions = assignments(self._items, leased_until=now + LEASE, pace=kept(pace))
        if not update_if(item, self._items.lease == taken.lease, actions):
            return None
        return TakenTurn(_mass_logout(item), taken.lease)

    def give_back(self, taken: TakenTurn, pace: Pace) -> bool:
        """End a turn, whose successor is on its way; False if another has the mass logout."""
        item = self._items(taken.mass.mass_logout, MASS)
        actions = assignments(self._items, turn=taken.mass.turn + 1, lease=None, leased_until=None, pace=kept(pace))
        return update_if(item, self._items.lease == taken.lease, actions)

    def rest(self, taken: TakenTurn, pace: Pace) -> bool:
        """End a turn that has no successor, since the mass logout is paused; False if it is not, or another has it."""
        item = self._items(taken.mass.mass_logout, MASS)
        actions = assignments(self._items, turn=taken.mass.turn + 1, lease=None, leased_until=None, pace=kept(pace))
        return update_if(item, (self._items.lease == taken.lease) & (self._items.state == "paused"), actions)

    def finish(self, mass: MassLogout, now: int, state: State) -> None:
        """Note that everything that was released is settled: the one place where a mass logout becomes final."""
        item, items = self._items(mass.mass_logout, MASS), self._items
        is_open = items.finished_at.does_not_exist() & items.state.is_in(
            *(ACTIVE if state == "finished" else (*ACTIVE, "cancelled"))
        )
        try:
            with transaction(items) as writes:
                writes.update(item, assignments(items, state=state, finished_at=now), is_open)
                writes.delete(items(*_scope(mass.scope)), items.pk.does_not_exist() | (items.mass_logout == mass.mass_logout))
        except ConditionFailedError:
            if state == "cancelled":  # its scope may have another by now
                update_if(item, is_open, assignments(items, state=state, finished_at=now))

    def _record(self, mass: MassLogout) -> MassItem:
        stored = asdict(mass)
        request = {name: stored[name] for name in _REQUEST}
        return self._items(
            mass.mass_logout,
            MASS,
            request=request,
            state=mass.state,
            rate=mass.rate,
            client_rate=mass.client_rate,
            history=[json.dumps(asdict(each)) for each in mass.history],
            turn=mass.turn,
            pace=kept(mass.pace),
            expires_at=expiry(mass.created_at),
        )

    def _save(self, item: MassItem) -> None:
        with storage():
            item.save()


_REQUEST = (
    *("mass_logout", "provider", "issuer", "scope", "ended_at", "created_at", "reason", "requested_by", "client_id", "subjects"),
    *("note", "started_before"),
)
"""What never changes."""


def _scope(name: str) -> tuple[str, str]:
    return key("SCOPE", name), SCOPE


def _parts(subjects: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    octets = 0
    for sub in subjects:
        size = len(json.dumps(sub))
        if part and octets + size > _MOST_OCTETS:
            yield part
            part, octets = [], 0
        part.append(sub)
        octets += size
    if part:
        yield part


def _mass_logout(item: MassItem) -> MassLogout:
    request: Mapping[str, Any] = item.request
    return MassLogout(
        **{**request, "reason": Reason(request["reason"])},
        rate=int(item.rate),
        client_rate=int(item.client_rate),
        state=cast("State", item.state),
        history=tuple(Change(**json.loads(each)) for each in item.history or ()),
        turn=int(item.turn),
        pace=Pace(**item.pace),
        finished_at=optional_int(item.finished_at),
    )
