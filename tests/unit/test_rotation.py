"""A rotation as every relying party sees it, and what becomes of each key."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.errors import SigningUnavailable
from backchannel.tokens import rotation
from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.key_ring import SigningKey, signing_key
from backchannel.tokens.rotation import DAY, MARGIN, PENDING_DAYS, Periods, Ring

MINUTE = 60_000
PERIODS = Periods(wait=60 * MINUTE, grace=60 * MINUTE)
LIFE = 2 * MINUTE
"""Of a logout token."""
STALE = MINUTE
"""How long `delivery` may go on with a ring that it has read."""
LAG = 14_000
"""How long a write may take."""


def key(kid: str, alg: str = "ES256", **members: object) -> SigningKey:
    return replace(SigningKey(kid, alg, f"arn:{kid}"), **members)  # type: ignore[arg-type]


def states(ring: Ring) -> dict[str, str]:
    return {each.kid: each.state for each in ring}


def rotated(now: int = 0) -> Ring:
    return rotation.added(rotation.added((), key("old"), now), key("new"), now)


def test_the_first_key_of_an_algorithm_signs_at_once() -> None:
    assert states(rotation.added((), key("only"), 7)) == {"only": "signing"}


def test_the_next_key_is_published_while_the_one_before_signs() -> None:
    assert states(rotated()) == {"old": "signing", "new": "published"}


def test_a_third_key_is_not_added_to_a_ring_that_has_a_next_one() -> None:
    assert rotation.added(rotated(), key("surplus"), 5) == rotated()


def test_a_key_that_is_in_the_ring_is_not_added_again() -> None:
    ring = rotation.added((), key("only"), 7)

    assert rotation.added(ring, key("only"), 9) == ring


def test_the_next_key_signs_after_its_wait_and_the_one_before_stays_published() -> None:
    due = PERIODS.wait + MARGIN

    assert rotation.advanced(rotated(), PERIODS, due - 1) == rotated()
    assert states(rotation.advanced(rotated(), PERIODS, due)) == {"old": "retired", "new": "signing"}


def test_a_retired_key_is_withdrawn_after_its_grace_and_then_deleted() -> None:
    began = PERIODS.wait + MARGIN
    retired = rotation.advanced(rotated(), PERIODS, began)

    withdrawn = rotation.advanced(retired, PERIODS, began + PERIODS.grace)
    gone = rotation.deleted(withdrawn, "arn:old", began + PERIODS.grace)

    assert rotation.advanced(retired, PERIODS, began + PERIODS.grace - 1) == retired
    assert states(withdrawn) == {"old": "withdrawn", "new": "signing"}
    assert [each.kid for each in rotation.to_delete(withdrawn)] == ["old"]
    assert states(gone) == {"old": "deleted", "new": "signing"}
    assert rotation.to_delete(gone) == []
    assert states(rotation.advanced(gone, PERIODS, began + PERIODS.grace + PENDING_DAYS * DAY)) == {"new": "signing"}


def test_only_a_key_that_was_withdrawn_is_noted_as_deleted() -> None:
    assert rotation.deleted(rotated(), "arn:old", 5) == rotated()


def test_a_rotation_of_one_algorithm_leaves_the_others_alone() -> None:
    ring = rotation.added(rotated(), key("other", "RS256"), 0)

    assert states(rotation.advanced(ring, PERIODS, DAY)) == {"old": "retired", "new": "signing", "other": "signing"}


def test_after_an_emergency_the_next_key_takes_over_if_it_is_published() -> None:
    assert states(rotation.withdrawn(rotated(), "old", 5)) == {"old": "withdrawn", "new": "signing"}


def test_after_an_emergency_without_a_next_key_nothing_signs_until_one_is_added() -> None:
    ring = rotation.withdrawn(rotation.added((), key("only"), 0), "only", 5)

    with pytest.raises(SigningUnavailable):
        signing_key(ring, "ES256")
    assert rotation.without_signer(ring) == ["ES256"]
    assert states(rotation.added(ring, key("new"), 6)) == {"only": "withdrawn", "new": "signing"}


@pytest.mark.parametrize("kid", ["new", "nobody's"])
def test_an_emergency_about_another_key_leaves_the_signing_one_alone(kid: str) -> None:
    assert states(rotation.withdrawn(rotated(), kid, 5))["old"] == "signing"


def test_an_emergency_that_is_repeated_changes_nothing() -> None:
    ring = rotation.withdrawn(rotated(), "old", 5)

    assert rotation.withdrawn(ring, "old", 9) == ring


def test_an_emergency_withdraws_a_key_from_every_algorithm_that_it_signs() -> None:
    own = [key("own", alg, is_own=True, kms_key_arn="arn:own") for alg in ("RS256", "PS256")]
    ring: Ring = (*own, key("next", "PS256", state="published"))

    after = rotation.withdrawn(ring, "own", 5)

    assert [(each.kid, each.alg, each.state) for each in after] == [
        ("own", "RS256", "withdrawn"),
        ("own", "PS256", "withdrawn"),
        ("next", "PS256", "signing"),
    ]


def test_a_key_of_the_providers_own_replaces_ours_which_stays_published() -> None:
    own = key("own", is_own=True)

    ring = rotation.replaced_by_own(rotated(), own, 5)

    assert states(ring) == {"old": "retired", "new": "retired", "own": "signing"}
    assert states(rotation.replaced_by_own(ring, key("own2", is_own=True), 9)) == {
        "old": "retired",
        "new": "retired",
        "own": "retired",
        "own2": "signing",
    }


def test_new_material_under_the_kid_of_a_key_of_the_providers_own_takes_its_place() -> None:
    ring = rotation.replaced_by_own((), key("own", is_own=True), 5)

    assert rotation.replaced_by_own(ring, key("own", kms_key_arn="arn:anew", is_own=True), 9) == (
        key("own", kms_key_arn="arn:anew", is_own=True, since=9),
    )


def test_a_key_of_the_providers_own_is_never_deleted_nor_due() -> None:
    ring: Ring = (key("own", is_own=True), key("next", state="published"))

    assert rotation.due(ring, 1, 10 * DAY) == []
    later = rotation.advanced(ring, PERIODS, DAY)
    assert states(later) == {"own": "retired", "next": "signing"}
    assert states(rotation.advanced(later, PERIODS, 2 * DAY)) == {"next": "signing"}
    assert rotation.to_delete((key("own", is_own=True, state="withdrawn"),)) == []


@pytest.mark.parametrize(("days", "due"), [(None, []), (2, ["ES256"]), (3, [])])
def test_a_key_is_due_when_it_has_signed_for_so_many_days(days: int | None, due: list[str]) -> None:
    assert rotation.due(rotation.added((), key("only"), 0), days, 3 * DAY - 1) == due


def test_a_key_that_has_a_next_one_is_not_due_again() -> None:
    assert rotation.due(rotated(), 1, 3 * DAY) == []


@pytest.mark.parametrize(
    ("state", "until"),
    [
        ("published", PERIODS.wait + MARGIN),
        ("signing", 7 * DAY),
        ("retired", PERIODS.grace),
        ("withdrawn", None),
        ("deleted", PENDING_DAYS * DAY),
    ],
)
def test_the_end_of_a_keys_state_is_foreseen(state: str, until: int | None) -> None:
    assert rotation.until(key("any", state=state), PERIODS, 7) == until


def test_the_end_of_a_signing_key_is_not_foreseen_without_a_schedule() -> None:
    assert rotation.until(key("any"), PERIODS, None) is None


HALF = 30_000
"""Half a minute, in which the times of these runs are counted."""

steps = st.lists(
    st.tuples(
        st.sampled_from([1, PERIODS.wait // HALF, (PERIODS.wait + MARGIN) // HALF, PERIODS.grace // HALF]) | st.integers(1, 600),
        st.sampled_from(["begin", "advance", "nothing"]),
    ),
    max_size=12,
)


@given(steps, st.data())
@example([(1, "begin"), (PERIODS.wait // HALF, "advance")], None)
@example([(1, "begin"), ((PERIODS.wait + MARGIN) // HALF, "advance"), (PERIODS.grace // HALF, "advance")], None)
def test_no_relying_party_meets_a_key_that_it_could_not_read(run: list[tuple[int, str]], data: st.DataObject | None) -> None:
    history: list[tuple[int, Ring]] = [(0, rotation.added((), key("0"), 0))]
    now = 0
    for number, (halves, step) in enumerate(run, 1):
        now += halves * HALF
        ring = history[-1][1]
        if step == "begin":
            ring = rotation.added(ring, key(str(number)), now)
        if step == "advance":
            ring = rotation.advanced(ring, PERIODS, now)
        history.append((now, ring))

    def ring_at(time: int) -> Ring:
        return next((ring for since, ring in reversed(history) if since <= time), history[0][1])

    times = [time for time, _ in history]
    moments = [time + after for time in times for after in (0, STALE)]
    if data is not None:
        moments.append(data.draw(st.integers(0, now + DAY), "signed"))
    for signed, stale, life, cached, lag in itertools.product(moments, (0, STALE), (0, LIFE), (0, PERIODS.wait), (0, LAG)):
        signer = signing_key(ring_at(signed - stale), "ES256").kid
        served = ring_at(signed + life - cached - lag)
        assert signer in {each["kid"] for each in jwk_set(served)["keys"]}, (signed, stale, life, cached, lag)


@given(steps)
def test_a_ring_has_one_signing_and_at_most_one_next_key(run: list[tuple[int, str]]) -> None:
    ring, now = rotation.added((), key("0"), 0), 0
    for number, (halves, step) in enumerate(run, 1):
        now += halves * HALF
        match step:
            case "begin":
                ring = rotation.added(ring, key(str(number)), now)
            case "advance":
                ring = rotation.advanced(ring, PERIODS, now)
            case "nothing":
                ring = rotation.withdrawn(ring, ring[0].kid, now)
                ring = rotation.added(ring, key(f"after {number}"), now) if rotation.without_signer(ring) else ring

    found = [each.state for each in ring]

    assert found.count("signing") == 1
    assert found.count("published") <= 1


START, LATER = 1000 * DAY, 2000 * DAY


def since(ring: Ring) -> dict[str, int]:
    return {each.kid: each.since for each in ring}


def test_each_state_begins_when_it_is_entered() -> None:
    first = rotation.added((), key("old", state="withdrawn", since=7), START)
    both = rotation.added(first, key("new", state="withdrawn", since=7), START + 1)
    signing = rotation.advanced(both, PERIODS, LATER)
    withdrawn = rotation.advanced(signing, PERIODS, LATER + PERIODS.grace)
    gone = rotation.deleted(withdrawn, "arn:old", LATER + PERIODS.grace + 5)

    assert since(both) == {"old": START, "new": START + 1}
    assert since(signing) == {"old": LATER, "new": LATER}
    assert since(withdrawn) == {"old": LATER + PERIODS.grace, "new": LATER}
    assert since(gone) == {"old": LATER + PERIODS.grace + 5, "new": LATER}
    assert since(rotation.withdrawn(both, "old", LATER)) == {"old": LATER, "new": LATER}


def test_a_deleted_key_is_forgotten_after_its_month_and_not_before() -> None:
    ring = (key("gone", state="deleted", since=START), key("new", since=START))

    assert rotation.advanced(ring, PERIODS, START + PENDING_DAYS * DAY - 1) == ring
    assert states(rotation.advanced(ring, PERIODS, START + PENDING_DAYS * DAY)) == {"new": "signing"}


def test_a_key_of_the_providers_own_changes_nothing_for_other_algorithms_nor_for_keys_that_are_gone() -> None:
    ring = (key("rsa", "RS256", since=START), key("gone", state="deleted", since=START), key("old", since=START))

    replaced = rotation.replaced_by_own(ring, key("own", state="published", since=7, is_own=True), LATER)

    assert states(replaced) == {"rsa": "signing", "gone": "deleted", "old": "retired", "own": "signing"}
    assert since(replaced) == {"rsa": START, "gone": START, "old": LATER, "own": LATER}


def test_the_days_of_a_key_are_counted_from_when_it_began_to_sign() -> None:
    ring = (key("only", since=START),)

    assert rotation.due(ring, 30, START + 30 * DAY - 1) == []
    assert rotation.due(ring, 30, START + 30 * DAY) == ["ES256"]


def test_only_an_algorithm_without_a_signing_key_wants_one() -> None:
    ring = (key("rsa", "RS256"), key("next", state="published"), key("old", state="retired"))

    assert rotation.without_signer(ring) == ["ES256"]


def test_a_withdrawn_key_of_the_providers_own_is_kept_until_another_signs() -> None:
    own = key("own", is_own=True, state="withdrawn")

    assert rotation.advanced((own,), PERIODS, DAY) == (own,)
    assert states(rotation.advanced((own, key("new")), PERIODS, DAY)) == {"new": "signing"}
