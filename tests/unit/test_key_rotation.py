"""A pass over the rings of all providers, and what the function does with what it is asked for."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from backchannel.errors import KeyServiceUnavailable, NotFoundError, StorageUnavailable
from backchannel.providers.key_rotation import KeyRotation
from backchannel.providers.table import Provider
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.rotation import DAY, Periods, replaced_by_own

NOW = 100 * DAY


class MemoryProviders:
    def __init__(self, *providers: Provider) -> None:
        self.stored = {each.provider: each for each in providers}
        self.broken: set[str] = set()

    def names(self) -> list[str]:
        return [*self.stored]

    def names_ever(self) -> list[str]:
        return [*self.stored, "removed"]

    def get(self, name: str) -> Provider:
        if name in self.broken:
            raise StorageUnavailable("ThrottlingException")
        if name not in self.stored:
            raise NotFoundError.of("provider", name)
        return self.stored[name]

    def change(self, name: str, change: Callable[[Provider], Provider]) -> Provider:
        self.stored[name] = change(self.get(name))
        return self.stored[name]


@dataclass
class MemoryKeys:
    foreign: set[str] = field(default_factory=set)
    surplus: list[str] = field(default_factory=list)
    made: int = 0
    deleted: list[str] = field(default_factory=list)
    named: set[str] | None = None
    refused: set[str] = field(default_factory=set)
    """ARNs of keys that KMS does not delete."""
    makes_none: bool = False

    def create(self, provider: str, alg: str) -> SigningKey:
        if self.makes_none:
            raise KeyServiceUnavailable("LimitExceededException")
        self.made += 1
        return SigningKey(f"{provider}-{alg}-{self.made}", alg, f"arn:{provider}:{alg}:{self.made}")

    def schedule_deletion(self, kms_key_arn: str) -> None:
        if kms_key_arn in self.refused:
            raise KeyServiceUnavailable("AccessDeniedException")
        self.deleted.append(kms_key_arn)

    def has_our_policy(self, kms_key_arn: str) -> bool:
        return kms_key_arn not in self.foreign

    def left_over(self, named: Collection[str], providers: Collection[str], now: int) -> list[str]:
        assert "removed" in providers
        assert now == NOW
        self.named = set(named)
        return self.surplus


def key(kid: str, **members: Any) -> SigningKey:
    return replace(SigningKey(kid, "ES256", f"arn:{kid}"), **members)


class World:
    def __init__(self, *providers: Provider) -> None:
        self.providers, self.keys = MemoryProviders(*providers), MemoryKeys()
        self.rotation = KeyRotation(
            cast("Any", self.providers), cast("Any", self.keys), Periods(wait=DAY, grace=DAY), now=lambda: NOW
        )

    def states(self, provider: str) -> list[str]:
        return [each.state for each in self.providers.stored[provider].keys]


def test_a_pass_lets_keys_follow_those_that_are_due() -> None:
    world = World(
        Provider("due", "https://due.example", (key("one", since=NOW - 30 * DAY),), key_rotation_days=30),
        Provider("young", "https://young.example", (key("two", since=NOW - 29 * DAY),), key_rotation_days=30),
        Provider("never", "https://never.example", (key("three"),)),
    )

    world.rotation.run()

    assert [world.states(name) for name in ("due", "young", "never")] == [["signing", "published"], ["signing"], ["signing"]]


def test_a_pass_makes_the_key_that_an_emergency_was_cut_off_from() -> None:
    world = World(Provider("hurt", "https://hurt.example", (key("suspect", state="withdrawn"),)))

    world.rotation.run()

    assert world.states("hurt") == ["deleted", "signing"]
    assert world.keys.deleted == ["arn:suspect"]


def test_a_pass_deletes_what_no_ring_names() -> None:
    world = World(Provider("op", "https://op.example", (key("one"), key("old", state="deleted", since=NOW))))
    world.keys.surplus = ["arn:lost"]

    done = world.rotation.run()

    assert world.keys.named == {"arn:one", "arn:old"}
    assert (world.keys.deleted, done.left_over) == (["arn:lost"], ["arn:lost"])


def test_one_provider_that_fails_keeps_no_other_back_and_nothing_is_taken_for_left_over() -> None:
    world = World(*(Provider(name, f"https://{name}.example", (key(name, state="withdrawn"),)) for name in ("a", "b", "c")))
    world.providers.broken = {"b"}
    world.keys.surplus = ["arn:b"]

    done = world.rotation.run()

    assert (done.providers, [(name, error.code) for name, error in done.failed]) == (3, [("b", "storage_unavailable")])
    assert world.keys.deleted == ["arn:a", "arn:c"]


def test_a_pass_names_the_published_keys_of_ours_whose_policy_was_changed() -> None:
    ring = (key("one"), key("old", state="retired", since=NOW), key("gone", state="deleted", since=NOW), key("own", is_own=True))
    world = World(Provider("op", "https://op.example", ring))
    world.keys.foreign = {"arn:one", "arn:old", "arn:gone", "arn:own"}

    assert world.rotation.run().foreign_policies == ["arn:one", "arn:old"]


def test_a_provider_that_is_not_there_gets_no_key() -> None:
    world = World()

    with pytest.raises(NotFoundError):
        world.rotation.ensure("nobody", "ES256")
    assert world.keys.made == 0


def meanwhile(world: World, happens: Callable[[], object]) -> None:
    """Let something happen, once, between the moment when a key is made and the one when a ring takes it."""
    create = world.keys.create

    def created(provider: str, alg: str) -> SigningKey:
        made = create(provider, alg)
        world.keys.create = create  # type: ignore[method-assign]
        happens()
        return made

    world.keys.create = created  # type: ignore[method-assign]


def test_clients_that_are_registered_at_once_begin_no_rotation() -> None:
    world = World(Provider("op", "https://op.example", ()))
    meanwhile(world, lambda: world.rotation.ensure("op", "ES256"))

    world.rotation.ensure("op", "ES256")

    assert world.states("op") == ["signing"]
    assert world.keys.deleted == ["arn:op:ES256:1"]


def test_an_emergency_that_runs_twice_at_once_begins_no_rotation() -> None:
    world = World(Provider("op", "https://op.example", (key("suspect"),)))
    meanwhile(world, lambda: world.rotation.withdraw("op", "suspect"))

    world.rotation.withdraw("op", "suspect")

    assert world.states("op") == ["deleted", "signing"]


@pytest.mark.parametrize("do", ["ensure", "begin", "run"])
def test_a_key_that_was_being_made_never_follows_one_of_the_providers_own(do: str) -> None:
    ring = () if do == "ensure" else (key("ours"),)
    world = World(Provider("op", "https://op.example", ring, key_rotation_days=1))

    def use_own() -> None:
        world.providers.change("op", lambda found: replace(found, keys=replaced_by_own(found.keys, key("own", is_own=True), NOW)))

    meanwhile(world, use_own)
    {
        "ensure": lambda: world.rotation.ensure("op", "ES256"),
        "begin": lambda: world.rotation.begin("op", ["ES256"]),
        "run": world.rotation.run,
    }[do]()

    assert "published" not in world.states("op")


def test_a_key_of_ours_follows_one_of_the_providers_own_on_request() -> None:
    world = World(Provider("op", "https://op.example", (key("own", is_own=True),)))

    world.rotation.begin("op", ["ES256"])

    assert world.states("op") == ["signing", "published"]


@pytest.mark.parametrize("do", ["withdraw", "run"])
def test_a_suspect_that_kms_does_not_delete_keeps_no_successor_back(do: str) -> None:
    state = "signing" if do == "withdraw" else "withdrawn"
    world = World(Provider("op", "https://op.example", (key("suspect", state=state), key("old", state="withdrawn"))))
    world.keys.refused = {"arn:suspect"}

    if do == "run":
        assert [error.code for _, error in world.rotation.run().failed] == ["key_service_unavailable"]
    else:
        with pytest.raises(KeyServiceUnavailable):
            world.rotation.withdraw("op", "suspect")

    assert world.states("op") == ["withdrawn", "deleted", "signing"]


def test_a_suspect_is_deleted_though_kms_makes_no_successor() -> None:
    world = World(Provider("op", "https://op.example", (key("suspect"),)))
    world.keys.makes_none = True

    with pytest.raises(KeyServiceUnavailable):
        world.rotation.withdraw("op", "suspect")

    assert world.states("op") == ["deleted"]


def test_a_provider_that_is_removed_during_a_pass_is_no_failure() -> None:
    world = World(Provider("op", "https://op.example", (key("one"),)))
    names = iter([["op", "removed"], ["op"]])
    world.providers.names = lambda: next(names)  # type: ignore[method-assign]
    world.keys.surplus = ["arn:lost"]

    done = world.rotation.run()

    assert (done.failed, world.keys.deleted) == ([], ["arn:lost"])


def test_a_provider_that_is_listed_but_not_there_is_a_failure() -> None:
    world = World()
    world.providers.names = lambda: ["lost"]  # type: ignore[method-assign]
    world.keys.surplus = ["arn:lost"]

    done = world.rotation.run()

    assert ([name for name, _ in done.failed], world.keys.deleted) == (["lost"], [])
