"""What goes out: shapes, ids, and that nobody is named."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.announcements.details import KINDS, Announcement, Detail, mass_logout_finished, rfc3339
from backchannel.deliveries.announcer import FAILURES, Announcer
from backchannel.deliveries.outcomes import PENDING, Status
from backchannel.deliveries.records import DeliveryRecord, PassedOnToken
from backchannel.deliveries.settlements import Settlement, Settlements
from backchannel.errors import QueueUnavailable, StorageUnavailable
from backchannel.providers.new_signers import ANNOUNCED_FOR, NewSigners
from backchannel.providers.table import Provider, Providers
from backchannel.reasons import Reason
from backchannel.runtime.observability import short_hash
from backchannel.tokens.key_ring import SigningKey
from local import events
from tests.support.queues import FakeQueue

GUIDE = (events.DIRECTORY.parent / "events.md").read_text()
NOW = 1_788_256_800_123
RECORD = DeliveryRecord(
    provider="acme",
    logout_id="l1",
    client_id="wiki",
    sid="sid-of-ada",
    sub="sub-of-ada",
    client_sub="pairwise-of-ada",
    status=Status.REJECTED,
    attempts=2,
    issuer="https://idp.example",
    ended_at=NOW - 5000,
    created_at=NOW - 4000,
    updated_at=NOW,
    last_code="http_404",
    last_status_code=404,
    reason=Reason.COMPROMISED,
)
SETTLEMENT = Settlement(
    logout_id="l1",
    provider="acme",
    issuer="https://idp.example",
    reason="compromised",
    matched=2,
    counts={"accepted": 1, "rejected": 1},
    ended_at=NOW - 5000,
    settled_at=NOW,
    version="v1",
)
KEY = SigningKey("kid-1", "ES256", "arn:aws:kms:eu-central-1:123456789012:key/1", "signing", NOW)

type Json = dict[str, Any]


class FakeSettlements(Settlements):
    """Logouts that are settled; ``looks`` counts."""

    def __init__(self, *settled: Settlement, unaddressable: tuple[DeliveryRecord, ...] = (), is_broken: bool = False) -> None:
        self.settled = {each.logout_id: each for each in settled}
        self.recorded = unaddressable
        self.is_broken = is_broken
        self.looks: list[str] = []

    def find(self, logout_id: str) -> Settlement | None:
        if self.is_broken:
            raise StorageUnavailable("ThrottlingException")
        self.looks.append(logout_id)
        return self.settled.get(logout_id)

    def unaddressable(self, logout_id: str, since: int) -> list[DeliveryRecord]:
        return [each for each in self.recorded if each.logout_id == logout_id and each.updated_at >= since]


class FakeProviders(Providers):
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def get(self, name: str) -> Provider:
        assert name == self._provider.provider
        return self._provider


def sent(queue: FakeQueue) -> list[tuple[str, Json]]:
    """Return kind and detail of what was sent, each as its schema says."""
    found = [Announcement.from_json(each.body) for each in queue.sent]
    for each in found:
        assert is_valid(each.detail_type, each.detail)
        assert json.loads(each.detail)["at"] == rfc3339(each.at)
    return [(each.detail_type, json.loads(each.detail)) for each in found]


def is_valid(kind: str, detail: str) -> bool:
    """Whether a detail has exactly the members of its schema, each of its type."""
    (known,) = [each for each in KINDS if each.kind == kind]
    return isinstance(events.adapter(known).validate_json(detail), Detail)


def announcer(*settled: Settlement, queue: FakeQueue | None = None, **options: Any) -> tuple[Announcer, FakeQueue]:
    queue = queue or FakeQueue()
    return Announcer(FakeSettlements(*settled, **options), queue), queue


# --- Shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_schema_that_is_published_is_that_of_the_code(kind: type[Detail]) -> None:
    published = (events.DIRECTORY / f"{kind.kind}.json").read_text()

    assert published == events.render(kind), "docs/events is out of date: run `make events`"


def test_every_schema_that_is_published_is_that_of_a_kind() -> None:
    assert {path.stem for path in events.DIRECTORY.glob("*")} == {kind.kind for kind in KINDS}


def test_every_kind_is_described_with_its_schema_and_no_other_is() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|.*\]\(events/([a-z_.]+)\.json\) \|$", GUIDE, re.MULTILINE)

    assert rows == [(kind.kind, kind.kind) for kind in KINDS]


def test_the_examples_of_the_guide_are_as_their_schemas_say() -> None:
    examples = [json.loads(each) for each in re.findall(r"^```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)]

    assert len(examples) == 2
    for each in examples:
        assert is_valid(each["detail-type"], json.dumps(each["detail"]))


def test_the_rule_of_the_guide_is_a_pattern_for_events_of_ours() -> None:
    (pattern,) = [json.loads(each) for each in re.findall(r"'(\{.*\})'", GUIDE)]

    assert [source.partition(".")[0] for source in pattern["source"]] == ["backchannel"]
    assert {*pattern["detail-type"]} <= {kind.kind for kind in KINDS}


@pytest.mark.parametrize(
    "change", [{"sub": "ada"}, {"attempts": "2"}, {"version": "2"}, {"status": "accepted"}], ids=lambda change: str(*change)
)
def test_a_detail_that_is_not_as_its_schema_is_noticed(change: Json) -> None:
    using, queue = announcer()
    using.finished([RECORD])
    ((kind, detail),) = sent(queue)

    with pytest.raises(ValueError, match="validation error"):
        is_valid(kind, json.dumps(detail | change))


# --- Deliveries -------------------------------------------------------------------------------------------------------


def test_a_failed_delivery_is_announced_with_all_that_a_log_would_say() -> None:
    using, queue = announcer()

    using.finished([RECORD])

    ((kind, detail),) = sent(queue)
    assert kind == "delivery.failed"
    assert detail.pop("id")
    assert detail == {
        "version": "1",
        "at": "2026-09-01T10:00:00.123Z",
        "provider": "acme",
        "issuer": "https://idp.example",
        "logout_id": "l1",
        "client_id": "wiki",
        "sid_hash": short_hash("sid-of-ada"),
        "reason": "compromised",
        "status": "rejected",
        "code": "http_404",
        "status_code": 404,
        "attempts": 2,
        "ended_at": "2026-09-01T09:59:55.123Z",
    }
    assert [each.tenant for each in queue.sent] == [("acme",)]


@pytest.mark.parametrize("status", Status)
def test_what_counts_as_a_failure(status: Status) -> None:
    using, queue = announcer()

    using.finished([replace(RECORD, status=status)])

    is_failure = status in {Status.REJECTED, Status.BLOCKED, Status.UNDELIVERABLE, Status.UNADDRESSABLE}
    assert [kind for kind, _ in sent(queue)] == ["delivery.failed"] * is_failure
    assert not FAILURES & PENDING


def test_a_failure_that_is_announced_again_has_the_same_id_and_a_later_one_another() -> None:
    using, queue = announcer()

    using.finished([RECORD])
    using.finished([RECORD])
    using.finished([replace(RECORD, updated_at=NOW + 1)])
    using.finished([replace(RECORD, sid=None)])
    using.finished([replace(RECORD, client_id="mail")])

    ids = [detail["id"] for _, detail in sent(queue)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


# --- Logouts ----------------------------------------------------------------------------------------------------------


def test_a_logout_is_looked_at_once_for_a_batch_and_announced_if_it_is_settled() -> None:
    using, queue = announcer(SETTLEMENT)
    accepted = replace(RECORD, status=Status.ACCEPTED)

    using.finished([accepted, replace(accepted, client_id="mail"), replace(accepted, logout_id="l2")])

    ((kind, detail),) = sent(queue)
    assert kind == "logout.settled"
    assert (detail["logout_id"], detail["counts"], detail["matched"]) == ("l1", {"accepted": 1, "rejected": 1}, 2)
    assert isinstance(using.settlements, FakeSettlements)
    assert using.settlements.looks == ["l1", "l2"]


@pytest.mark.parametrize(("other", "is_same"), [({}, True), ({"version": "v2"}, False), ({"ended_at": NOW}, False)])
def test_a_logout_that_settles_again_has_another_id(other: Json, is_same: bool) -> None:  # noqa: FBT001 - a row
    using, queue = announcer(SETTLEMENT)
    again = Announcer(FakeSettlements(replace(SETTLEMENT, **other)), queue)

    using.finished([RECORD])
    again.finished([RECORD])

    ids = [detail["id"] for kind, detail in sent(queue) if kind == "logout.settled"]
    assert (ids[0] == ids[1]) == is_same


@pytest.mark.parametrize(("stored", "shown"), [(None, "logout"), ("expired", "expired"), ("sub-of-ada was fired", "logout")])
def test_the_reason_of_a_logout_is_a_word_of_ours(stored: str | None, shown: str) -> None:
    using, queue = announcer(replace(SETTLEMENT, reason=stored))

    using.fanned_out("l1", 0, is_closed=True)

    assert [detail["reason"] for _, detail in sent(queue)] == [shown]


def test_a_fan_out_announces_whom_it_could_not_address_and_the_logout_that_this_settles() -> None:
    nobody = replace(RECORD, status=Status.UNADDRESSABLE, sid=None, last_code=None, last_status_code=None, attempts=0)
    using, queue = announcer(SETTLEMENT, unaddressable=(nobody,))

    using.fanned_out("l1", NOW, is_closed=False)

    assert [kind for kind, _ in sent(queue)] == ["delivery.failed", "logout.settled"]


def test_a_sweep_that_has_made_nothing_final_looks_at_no_logout() -> None:
    using, queue = announcer(SETTLEMENT, unaddressable=(replace(RECORD, status=Status.UNADDRESSABLE, updated_at=NOW - 1),))

    using.fanned_out("l1", NOW, is_closed=False)

    assert sent(queue) == []


# --- Circuits ---------------------------------------------------------------------------------------------------------


def test_changes_of_circuits_are_sent_with_their_batch() -> None:
    using, queue = announcer()

    using.circuit_changed("acme", "wiki", NOW, is_open=True)
    using.circuit_changed("acme", "wiki", NOW + 1, is_open=False)
    before = list(queue.sent)
    using.finished([])
    using.finished([])

    assert before == []
    assert [(kind, detail["client_id"]) for kind, detail in sent(queue)] == [
        ("circuit.opened", "wiki"),
        ("circuit.closed", "wiki"),
    ]


@pytest.mark.parametrize(
    "breaks", [lambda: announcer(queue=FakeQueue(broken=True)), lambda: announcer(is_broken=True)], ids=["queue", "table"]
)
def test_changes_of_circuits_wait_until_they_can_be_sent(breaks: Callable[[], tuple[Announcer, FakeQueue]]) -> None:
    using, _ = breaks()
    for at in (NOW, NOW + 1):
        using.circuit_changed("acme", "wiki", at, is_open=True)

    with pytest.raises((QueueUnavailable, StorageUnavailable)):
        using.finished([RECORD])

    assert [each.at for each in using.circuits] == [NOW, NOW + 1]


# --- Keys and mass logouts --------------------------------------------------------------------------------------------


def test_a_key_that_has_begun_to_sign_is_announced_by_the_passes_that_follow_with_one_id() -> None:
    ring = (
        KEY,
        replace(KEY, kid="next", state="published"),
        replace(KEY, kid="before", state="retired"),
        replace(KEY, kid="old", alg="RS256", since=NOW - ANNOUNCED_FOR - 1),
    )
    queue, times = FakeQueue(), iter([NOW, NOW + ANNOUNCED_FOR, NOW + ANNOUNCED_FOR + 1])
    signers = NewSigners(FakeProviders(Provider("acme", "https://idp.example", ring)), queue, lambda: next(times))

    for _ in range(3):
        signers.announce(["acme"])

    found = sent(queue)
    assert [(kind, detail["kid"], detail["alg"], detail["at"]) for kind, detail in found] == [
        ("key.rotated", "kid-1", "ES256", rfc3339(NOW))
    ] * 2
    assert len({detail["id"] for _, detail in found}) == 1


def test_the_end_of_a_mass_logout_is_announced() -> None:
    done = mass_logout_finished(
        "m1",
        provider="acme",
        issuer="https://idp.example",
        client_id=None,
        reason="compromised",
        status="finished",
        subjects=3,
        counts={"accepted": 2, "undeliverable": 1},
        started_at=NOW - 60_000,
        finished_at=NOW,
    )

    assert is_valid(done.detail_type, done.detail)
    detail = json.loads(done.detail)
    assert (done.detail_type, detail["mass_logout_id"], detail["counts"]) == (
        "mass_logout.finished",
        "m1",
        {"accepted": 2, "undeliverable": 1},
    )
    assert (detail["started_at"], detail["at"]) == ("2026-09-01T09:59:00.123Z", "2026-09-01T10:00:00.123Z")


# --- Whom they name ---------------------------------------------------------------------------------------------------

marked = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30).map("user:{}".format)


@given(marked, marked, marked, marked, st.sampled_from(sorted(FAILURES)))
def test_no_event_holds_a_subject_a_session_id_a_token_or_what_a_relying_party_said(
    sub: str, client_sub: str, sid: str, said: str, status: Status
) -> None:
    record = replace(
        RECORD,
        status=status,
        sub=sub,
        client_sub=client_sub,
        sid=sid,
        error=said,
        error_description=said,
        passed_on=PassedOnToken(said, None, NOW),
    )
    using, queue = announcer(replace(SETTLEMENT, reason=said))

    using.finished([record])

    texts = [each.body for each in queue.sent] + [str(detail) for _, detail in sent(queue)]
    assert len(texts) == 4
    assert not [text for text in texts if "user:" in text]
