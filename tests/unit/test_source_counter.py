"""Counting what sources send, beside webhooks that must not notice."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from backchannel.api.source_counter import PAUSE, REFUSALS_EVERY, SourceCounter
from backchannel.api.webhooks import WebhookReceiver
from backchannel.aws.secrets import Secrets
from backchannel.errors import MalformedRequestError, NotFoundError, QueueUnavailable, SignatureInvalidError, StorageUnavailable
from backchannel.providers.source_activity import Last, SourceActivities, Tally
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.sessions.table import Sessions
from backchannel.webhooks.request import Request
from tests.support.queues import FakeQueue
from tests.unit.conftest import Log
from tests.unit.fakes import EVENTS

NOW = round(time.time() * 1000)
ACME = Provider("acme", "https://idp.example.test/", ())
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = pytest.mark.usefixtures("no_metrics", "log")


class RecordedActivities(SourceActivities):
    """Remembers what is added, unless it is broken."""

    def __init__(self) -> None:
        self.added: list[tuple[str, str, Tally]] = []
        self.failure: Exception | None = None
        self.tries = 0

    def add(self, provider: str, source: str, tally: Tally) -> None:
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        self.added.append((provider, source, tally))

    @property
    def refused(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for _, source, tally in self.added:
            sums[source] = sums.get(source, 0) + tally.counts.get("refused", 0)
        return sums


@pytest.fixture
def activities() -> RecordedActivities:
    return RecordedActivities()


@pytest.fixture
def counter(activities: RecordedActivities) -> SourceCounter:
    return SourceCounter(lambda: activities)


def accept(counter: SourceCounter, now: int, source: str = "portal", **counts: int) -> None:
    counter.accepted("acme", source, counts, "session_ended", now)


def refuse(counter: SourceCounter, now: int, source: str = "portal", code: str = "signature_invalid") -> None:
    counter.refused("acme", source, code, now)


def test_each_accepted_webhook_is_written_at_once(counter: SourceCounter, activities: RecordedActivities) -> None:
    accept(counter, NOW, started=2, ended=3)
    accept(counter, NOW, ignored=1)

    assert [(dict(tally.counts), tally.last_event) for _, _, tally in activities.added] == [
        ({"started": 2, "ended": 3}, Last("session_ended", NOW)),
        ({"ignored": 1}, Last("session_ended", NOW)),
    ]


def test_refusals_are_added_up_for_a_second(counter: SourceCounter, activities: RecordedActivities) -> None:
    for milliseconds in (0, 1, 500, REFUSALS_EVERY - 1):
        refuse(counter, NOW + milliseconds)
    refuse(counter, NOW + REFUSALS_EVERY, code="malformed_request")

    assert [tally.counts["refused"] for _, _, tally in activities.added] == [1, 4]
    assert activities.added[-1][2].last_refusal == Last("malformed_request", NOW + REFUSALS_EVERY)


def test_an_accepted_webhook_writes_the_refusals_that_wait(counter: SourceCounter, activities: RecordedActivities) -> None:
    for _ in range(3):
        refuse(counter, NOW)

    accept(counter, NOW + 1, ended=1)

    _, _, tally = activities.added[-1]
    assert dict(tally.counts) == {"refused": 2, "ended": 1}
    assert (tally.last_event, tally.last_refusal) == (Last("session_ended", NOW + 1), Last("signature_invalid", NOW))


def test_garbage_for_one_source_does_not_hide_the_refusals_of_another(
    counter: SourceCounter, activities: RecordedActivities
) -> None:
    for milliseconds in range(500):
        refuse(counter, NOW + milliseconds, "flooded")
    refuse(counter, NOW + 500, "portal")

    assert activities.refused == {"flooded": 1, "portal": 1}


@pytest.mark.parametrize("failure", [StorageUnavailable("throttled"), OSError("no socket")])
def test_a_failure_to_count_is_logged_and_counted_and_pauses_the_writes(
    counter: SourceCounter, activities: RecordedActivities, log: Log, failure: Exception
) -> None:
    activities.failure = failure
    accept(counter, NOW, ended=1)
    accept(counter, NOW + PAUSE - 1, ended=1)
    refuse(counter, NOW + PAUSE - 1)
    tries = activities.tries
    activities.failure = None

    accept(counter, NOW + PAUSE, ended=1)

    (line,) = [line for line in log.lines if line["message"] == "source.not_counted"]
    assert (line["provider"], line["source"]) == ("acme", "portal")
    assert line["code"] == ("storage_unavailable" if isinstance(failure, StorageUnavailable) else "OSError")
    assert tries == 1, "nobody waits for the table meanwhile"
    (_, _, tally) = activities.added[0]
    assert dict(tally.counts) == {"ended": 3, "refused": 1}, "nothing is lost"


# --- webhooks ---------------------------------------------------------------------------------------------------------


def receiver(source: Source, queue: FakeQueue, counter: SourceCounter, *secrets: str) -> WebhookReceiver:
    def find(_: str, name: str) -> Source:
        if name != source.source:
            raise NotFoundError.of("source", name)
        return source

    return WebhookReceiver(
        provider=lambda _: ACME,
        source=find,
        client=_unknown,
        secrets=cast("Secrets", type("Kept", (), {"get": lambda *_: list(secrets)})()),
        intake=Intake(cast("Sessions", type("Stored", (), {"start": lambda *_: None})()), queue),
        sender_keys=_unknown,
        counter=counter,
    )


def _unknown(*names: str) -> Any:
    raise NotFoundError.of("client", names[-1])


def signed(kind: str, event_id: str = "msg", **data: Any) -> Request:
    timestamp = str(NOW // 1000)
    document = {"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data}
    body = json.dumps(document).encode()
    mac = hmac.digest(base64.b64decode(SECRET[6:]), f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return Request(body, {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": signature})


@pytest.mark.parametrize(
    ("request_", "result", "last"),
    [
        (signed("rp_session.started", sub="ada", client_id="wiki"), "started", "rp_session_started"),
        (signed("session.ended", sid="s1", sub="ada"), "ended", "subject_sessions_ended"),
        (signed("user.sessions_ended", sub="ada"), "ended", "subject_sessions_ended"),
        (signed("session.ended", sid="s1"), "unmappable", "unmappable"),
        (signed("user.renamed"), "ignored", "ignored"),
    ],
)
def test_a_webhook_is_counted_by_its_result(
    counter: SourceCounter, activities: RecordedActivities, request_: Request, result: str, last: str
) -> None:
    portal = Source("portal", "standard-webhooks", "secret", sid_trust="none")

    received = receiver(portal, FakeQueue(), counter, SECRET).receive("acme", "portal", request_, NOW)

    (added,) = activities.added
    assert added[:2] == ("acme", "portal")
    assert {name for name, count in added[2].counts.items() if count} == {result}
    assert added[2].last_event == Last(last, NOW)
    assert received.counts == {
        "started": int(result == "started"),
        "ended": int(result == "ended"),
        "ignored": int(result in {"ignored", "unmappable"}),
    }


KEYCLOAK = Source("keycloak", "keycloak", "secret", sid_trust="none")


@pytest.mark.parametrize(
    ("sample", "change", "result"),
    [
        ("admin.USER_SESSION-DELETE", {}, "unmappable"),  # it names the session alone, whose id is not trusted
        ("access.LOGOUT", {"details": {"reason": "user_session_expired"}}, "unmappable"),
        ("access.LOGOUT", {}, "ended"),
        ("access.LOGIN", {}, "ignored"),
        ("access.REVOKE_GRANT", {"details": {}}, "ignored"),
        ("admin.USER-UPDATE-disabled", {"representation": "{}"}, "ignored"),
    ],
)
def test_of_keycloak_s_events_only_an_end_of_nobody_is_unmappable(
    counter: SourceCounter, activities: RecordedActivities, sample: str, change: dict[str, Any], result: str
) -> None:
    document = json.loads((EVENTS / f"keycloak-p2inc-{sample}.json").read_text()) | change
    body = json.dumps({**document, "time": NOW, "realmName": "test"}).encode()
    request = Request(body, {"x-keycloak-signature": hmac.digest(b"kc-synthetic", body, "sha256").hex()})

    receiver(KEYCLOAK, FakeQueue(), counter, "kc-synthetic").receive("acme", "keycloak", request, NOW)

    ((_, _, tally),) = activities.added
    assert {name for name, count in tally.counts.items() if count} == {result}


def test_no_failure_to_count_fails_a_webhook(counter: SourceCounter, activities: RecordedActivities) -> None:
    activities.failure = RuntimeError("anything")
    queue = FakeQueue()
    portal = Source("portal", "standard-webhooks", "secret")

    received = receiver(portal, queue, counter, SECRET).receive("acme", "portal", signed("session.ended", sid="s1"), NOW)

    assert received.counts["ended"] == 1
    assert [EndMessage.from_json(each.body).source for each in queue.sent] == ["portal"]
    assert activities.tries == 1


def test_a_webhook_whose_events_are_not_stored_is_not_counted(counter: SourceCounter, activities: RecordedActivities) -> None:
    portal = Source("portal", "standard-webhooks", "secret")

    with pytest.raises(QueueUnavailable):
        receiver(portal, FakeQueue(broken=True), counter, SECRET).receive(
            "acme", "portal", signed("session.ended", sid="s1"), NOW
        )

    assert activities.tries == 0


def test_a_refusal_is_kept_by_its_code_and_never_with_what_the_sender_said(
    counter: SourceCounter, activities: RecordedActivities
) -> None:
    portal = Source("portal", "standard-webhooks", "secret")
    error = MalformedRequestError("the sender said: ada")

    receiver(portal, FakeQueue(), counter).refused("acme", "portal", error, NOW)

    ((_, _, tally),) = activities.added
    assert (dict(tally.counts), tally.last_refusal) == ({"refused": 1}, Last("malformed_request", NOW))
    assert "ada" not in repr(tally)


def test_a_refusal_at_a_source_that_does_not_exist_is_not_kept(counter: SourceCounter, activities: RecordedActivities) -> None:
    portal = Source("portal", "standard-webhooks", "secret")
    receiving = receiver(portal, FakeQueue(), counter)

    for number in range(3):
        receiving.refused("acme", f"nothing-{number}", SignatureInvalidError("no source"), NOW + number * 5_000)

    assert activities.tries == 0
    assert counter._pending == {}


# --- batches ----------------------------------------------------------------------------------------------------------


STATIC = "a-static-secret-of-32-characters"
BATCHES = Source("portal", "bearer", "secret")


def batch(*events: object) -> Request:
    return Request(json.dumps({"events": events}).encode(), {"authorization": f"Bearer {STATIC}"})


def end(sub: str) -> dict[str, Any]:
    when = datetime.fromtimestamp(NOW / 1000, UTC).isoformat()
    return {"type": "user.sessions_ended", "id": f"end-{sub}", "timestamp": when, "data": {"sub": sub}}


def test_a_batch_of_which_nothing_was_accepted_is_no_event_of_its_source(
    counter: SourceCounter, activities: RecordedActivities
) -> None:
    receiving = receiver(BATCHES, FakeQueue(), counter, STATIC)

    receiving.receive("acme", "portal", batch(end("")), NOW)
    receiving.receive("acme", "portal", batch(end(""), end("ada")), NOW)
    receiving.receive("acme", "portal", batch(), NOW)

    lasts = [(tally.counts["refused"], tally.last_event) for _, _, tally in activities.added]
    assert lasts == [(1, None), (1, Last("subject_sessions_ended", NOW)), (0, Last("ignored", NOW))]


def test_refused_entries_are_counted_once_the_others_are_stored(counter: SourceCounter, log: Log) -> None:
    with pytest.raises(QueueUnavailable):
        receiver(BATCHES, FakeQueue(broken=True), counter, STATIC).receive("acme", "portal", batch(end(""), end("ada")), NOW)
    before = [line["message"] for line in log.lines]

    receiver(BATCHES, FakeQueue(), counter, STATIC).receive("acme", "portal", batch(end(""), end("ada")), NOW)

    assert "webhook.events_refused" not in before
    assert [line["message"] for line in log.lines].count("webhook.events_refused") == 1
