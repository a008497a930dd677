"""What the operator sees of a source: real webhooks through the deployed stack, and the check for silent sources."""

import json
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from backchannel.providers.source_activity import Last, SourceActivities, SourceActivity, Tally
from local.client import Response, Stack, event
from local.stack import STACK_NAME
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider, new_secret
from tests.support.unspeakable import new_id

NOTHING = {"started": 0, "ended": 0, "ignored": 0, "unmappable": 0, "unmatched": 0, "refused": 0}


def activity(provider: Provider, source: str = SOURCE) -> Json:
    shown: Json = provider.get(f"/sources/{source}")["activity"]
    return shown


def wait_for(provider: Provider, **counts: int) -> Json:
    """Wait until a source has these counts, and none beside them."""
    return until(lambda: activity(provider), holds=lambda shown: shown["counts"] == {**NOTHING, **counts})


def is_recent(time_shown: str) -> bool:
    return abs(datetime.fromisoformat(time_shown).timestamp() - time.time()) < 60


def forge(provider: Provider) -> Response:
    return provider.stack.webhook(provider.name, SOURCE, new_secret(), "id", event("session.ended", sid="sid"))


def item(aws: Aws, stack: Stack, provider: Provider, source: str = SOURCE) -> Json | None:
    key = {"pk": {"S": f"{provider.name}#{source}"}}
    found: Json = aws.client("dynamodb").get_item(TableName=stack.tables["SourceActivityTable"], Key=key, ConsistentRead=True)
    return found.get("Item")


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_source_that_has_sent_nothing_shows_since_when(provider: Provider) -> None:
    shown = activity(provider)

    assert is_recent(shown.pop("since"))
    assert shown == {"counts": NOTHING, "last_event": None, "last_refusal": None, "is_silent": False}


def test_starts_and_ends_are_counted(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> None:
    client_id = provider.register_client(relying_party())
    sub, sid = new_id("sub"), new_id("sid")
    provider.start(client_id, sub=sub, sid=sid)
    started = wait_for(provider, started=1)
    provider.end_session(sid)
    aws.wait_until_handled(provider.name)

    ended = wait_for(provider, started=1, ended=1)

    assert started["last_event"]["kind"] == "rp_session_started"
    assert ended["last_event"]["kind"] == "session_ended"
    assert is_recent(ended["last_event"]["at"])
    assert ended["last_event"]["at"] > started["last_event"]["at"] > ended["since"]


def test_an_end_that_met_nobody_is_counted_at_the_source_that_sent_it(provider: Provider, aws: Aws) -> None:
    provider.put_source("other", format="standard-webhooks", secret=provider.secret)
    provider.end_session(new_id("sid"))
    provider.post("/logouts", {"sid": new_id("sid")})  # the operator's, which no source has sent
    aws.wait_until_handled(provider.name)

    shown = wait_for(provider, ended=1, unmatched=1)

    assert shown["last_event"]["kind"] == "session_ended"
    assert activity(provider, "other")["counts"] == NOTHING


def test_an_end_by_sub_in_place_of_an_unknown_sid_met_somebody(
    provider: Provider, relying_party: MakeRelyingParty, aws: Aws
) -> None:
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, unmatched_sid="end_subject")
    rp, sub = relying_party(), new_id("sub")
    provider.start(provider.register_client(rp), sub=sub)
    for known in (sub, new_id("sub")):  # the second is nobody's
        provider.end_session(new_id("sid"), sub=known)
        aws.wait_until_handled(provider.name)

    shown = wait_for(provider, started=1, ended=2, unmatched=1)

    assert len(rp.tokens) == 1
    assert shown["last_event"]["kind"] == "session_ended"


def test_a_preview_shows_whose_sessions_an_unknown_sid_would_end(provider: Provider) -> None:
    payload = event("session.ended", sid="sid", sub="ada")
    (narrow,) = provider.post(f"/sources/{SOURCE}/preview", {"payload": payload})["events"]
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, unmatched_sid="end_subject")

    (wide,) = provider.post(f"/sources/{SOURCE}/preview", {"payload": payload})["events"]

    assert [each["unmatched_sub"] for each in (narrow, wide)] == [None, "ada"]


def test_what_is_ignored_is_told_apart_from_what_names_nobody(provider: Provider) -> None:
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, sid_trust="none")
    ignored = provider.webhook("user.renamed", sub=new_id("sub"))
    first = wait_for(provider, ignored=1)
    unmappable = provider.webhook("session.ended", sid=new_id("sid"))

    second = wait_for(provider, ignored=1, unmappable=1)

    assert ignored.body == unmappable.body == {"started": 0, "ended": 0, "ignored": 1}
    assert [each["last_event"]["kind"] for each in (first, second)] == ["ignored", "unmappable"]
    preview = provider.post(f"/sources/{SOURCE}/preview", {"payload": event("session.ended", sid="sid")})
    assert (preview["ignored"], preview["unmappable"]) == (0, 1)


@pytest.mark.parametrize(
    ("send", "code"),
    [
        (forge, "signature_invalid"),
        (lambda provider: provider.signed(b"not json, but \xf0\x9f\x94\x91"), "malformed_request"),
        (lambda provider: provider.webhook("session.ended", sid="s", iss="https://another.example"), "issuer_mismatch"),
        (
            lambda provider: provider.stack.request(
                "POST", f"/webhooks/{provider.name}/{SOURCE}", body=b"z", headers={"Content-Encoding": "gzip"}
            ),
            "content_encoding_unsupported",
        ),
        (
            lambda provider: provider.stack.request(
                "POST",
                f"/webhooks/{provider.name}/{SOURCE}",
                body=b"logout_token=none",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            ),
            "signature_invalid",
        ),
    ],
)
def test_a_refused_webhook_is_shown_by_its_code_alone(
    provider: Provider, aws: Aws, stack: Stack, send: Callable[[Provider], Response], code: str
) -> None:
    time.sleep(1.1)  # an environment writes refusals once a second

    refused = send(provider)

    assert 400 <= refused.status < 500
    shown = wait_for(provider, refused=1)
    assert shown["last_event"] is None
    assert (shown["last_refusal"]["code"], is_recent(shown["last_refusal"]["at"])) == (code, True)
    kept = item(aws, stack, provider)
    assert kept is not None
    assert kept.keys() == {"pk", "since", "refused", "last_refusal", "last_refused_at"}


def test_refusals_that_came_within_a_second_are_added_up(provider: Provider) -> None:
    statuses = [forge(provider).status for _ in range(10)]
    time.sleep(1.1)
    statuses.append(forge(provider).status)

    shown = until(lambda: activity(provider), holds=lambda shown: shown["counts"]["refused"] >= 2)

    assert set(statuses) == {401}
    assert shown["counts"]["refused"] <= 11, "each once; some may wait in an environment that nobody asks again"


def test_nothing_of_a_subject_or_a_session_is_stored(provider: Provider, aws: Aws, stack: Stack) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    provider.start("wiki", sub=sub, sid=sid)
    provider.webhook("session.ended", sub=sub, sid=sid, reason="admin_logout")
    provider.signed(f'{{"type": "{sid}", "data": "{sub}"}}'.encode())
    wait_for_ended = until(lambda: activity(provider), holds=lambda shown: shown["counts"]["ended"] == 1)

    stored = json.dumps(item(aws, stack, provider))

    assert wait_for_ended["counts"]["started"] == 1
    assert not [value for value in (sub, sid, provider.secret) if value[:12] in stored]


def test_garbage_for_names_that_do_not_exist_stores_nothing(provider: Provider, aws: Aws, stack: Stack) -> None:
    name = f"nothing-{secrets.token_hex(4)}"

    answers = [stack.webhook(provider.name, name, provider.secret, "id", event("session.ended", sid="s")) for _ in range(3)]

    assert {answer.status for answer in answers} == {401}
    assert item(aws, stack, provider, name) is None


# --- sources that change ----------------------------------------------------------------------------------------------


def test_a_source_that_is_replaced_keeps_its_counts_and_one_that_is_removed_loses_them(
    provider: Provider, aws: Aws, stack: Stack
) -> None:
    provider.webhook("user.renamed")
    before = wait_for(provider, ignored=1)
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, sid_trust="none")
    replaced = activity(provider)

    stack.admin("DELETE", f"{provider.path}/sources/{SOURCE}")
    late = provider.webhook("user.renamed")  # by an environment that still knows the source
    left = item(aws, stack, provider)
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret)

    assert replaced == before
    assert late.status in {202, 401}
    assert left is None
    anew = activity(provider)
    assert (anew["counts"], anew["last_event"]) == (NOTHING, None)
    assert anew["since"] > before["since"]


# --- silence ----------------------------------------------------------------------------------------------------------


def silence(aws: Aws, provider: Provider, seconds: int) -> None:
    """Let the latest event of a source have come so many seconds ago."""
    at = round((time.time() - seconds) * 1000)
    activities = SourceActivities(aws.client("dynamodb"), aws.stack.tables["SourceActivityTable"])
    activities.add(provider.name, SOURCE, Tally({}, last_event=Last("ignored", at)))


def checked(aws: Aws, began: float) -> tuple[float, list[Json]]:
    """Make a check; return its metric, and the sources of which it says that they are silent."""
    mark = time.time()
    aws.invoke(aws.stack.functions["SourceSilenceFunction"])

    def lines() -> list[Json]:
        return [json.loads(line) for line in aws.log_lines("SourceSilenceLogGroup", max(began, mark - 1)) if line[:1] == "{"]

    found = until(lines, holds=lambda seen: any("SourcesSilent" in line for line in seen))
    (metric,) = [line for line in found if "SourcesSilent" in line][-1:]
    return metric["SourcesSilent"][0], [line for line in found if line.get("message") == "source.silent"]


def test_a_silent_source_is_shown_logged_and_counted_for_the_alarm(provider: Provider, aws: Aws, began: float) -> None:
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, expected_interval=300)
    silence(aws, provider, 290)
    before, _ = activity(provider), checked(aws, began)

    silence(aws, provider, 310)
    silent, (count, lines) = activity(provider), checked(aws, began)
    provider.webhook("user.renamed")
    until(lambda: activity(provider), holds=lambda shown: shown["counts"]["ignored"] == 1)
    after, (_, later) = activity(provider), checked(aws, began)

    assert [each["is_silent"] for each in (before, silent, after)] == [False, True, False]
    (line,) = [line for line in lines if line["provider"] == provider.name]
    assert (line["source"], line["expected_interval"], line["level"]) == (SOURCE, 300, "WARNING")
    assert count >= 1
    assert len([each for each in later if each["provider"] == provider.name]) <= 1


def test_the_alarm_watches_the_metric_that_a_check_writes(aws: Aws, began: float) -> None:
    aws.invoke(aws.stack.functions["SourceSilenceFunction"])
    lines = until(lambda: [line for line in aws.log_lines("SourceSilenceLogGroup", began) if "SourcesSilent" in line])
    written = json.loads(lines[-1])
    (described,) = written["_aws"]["CloudWatchMetrics"]

    (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[aws.physical_id("SourcesSilentAlarm")])["MetricAlarms"]

    assert (described["Namespace"], [each["Name"] for each in described["Metrics"]]) == (STACK_NAME, ["SourcesSilent"])
    assert (alarm["Namespace"], alarm["MetricName"]) == (STACK_NAME, "SourcesSilent")
    (dimensions,) = described["Dimensions"]
    assert {name: written[name] for name in dimensions} == {each["Name"]: each["Value"] for each in alarm["Dimensions"]}


# --- permissions and failures -----------------------------------------------------------------------------------------


@pytest.mark.alone
def test_webhooks_are_taken_while_they_cannot_be_counted_and_counted_later(provider: Provider, aws: Aws, began: float) -> None:
    provider.webhook("user.renamed")
    wait_for(provider, ignored=1)
    with aws.without("WebhookRole", "dynamodb:UpdateItem", "SourceActivity"):
        taken = [provider.webhook("user.renamed").status for _ in range(3)]
        counted = activity(provider)["counts"]["ignored"]
        logged = until(lambda: [line for line in aws.log_lines("WebhookLogGroup", began) if "source.not_counted" in line])

    assert taken == [202, 202, 202]
    assert counted == 1
    assert "storage_unavailable" in logged[-1]


@pytest.mark.alone
def test_a_logout_is_carried_out_while_its_source_cannot_be_told_that_it_met_nobody(
    provider: Provider, aws: Aws, began: float
) -> None:
    with aws.without("SessionEndedRole", "dynamodb:UpdateItem", "SourceActivity"):
        logout = provider.end_session(new_id("sid"))
        aws.wait_until_handled(provider.name)
        shown = until(lambda: provider.get(f"/logouts/{logout}"), holds=lambda shown: shown["fanned_out"])

    assert shown["matched"] == 0
    assert activity(provider)["counts"]["unmatched"] == 0
    assert until(lambda: [line for line in aws.log_lines("SessionEndedLogGroup", began) if "source.not_counted" in line])


@pytest.mark.alone
@pytest.mark.parametrize(("action", "resource"), [("dynamodb:Query", "Providers"), ("dynamodb:GetItem", "SourceActivity")])
def test_a_check_without_its_permission_fails(aws: Aws, provider: Provider, action: str, resource: str) -> None:
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret, expected_interval=300)

    with aws.without("SourceSilenceRole", action, resource), pytest.raises(AssertionError):
        aws.invoke(aws.stack.functions["SourceSilenceFunction"])

    aws.invoke(aws.stack.functions["SourceSilenceFunction"])


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_adds_up_and_begins_once(aws: Aws, stack: Stack) -> None:
    activities, name = SourceActivities(aws.client("dynamodb"), stack.tables["SourceActivityTable"]), secrets.token_hex(8)
    activities.add(name, "portal", Tally({"ended": 5}))  # nobody has begun it
    before = activities.get(name, "portal")

    activities.begin(name, "portal", 1_000)
    activities.add(name, "portal", Tally({"started": 1, "ended": 2}, last_event=Last("session_ended", 1_500)))
    activities.add(name, "portal", Tally({"ended": 3, "refused": 0}))
    activities.add(name, "portal", Tally({"refused": 4}, last_refusal=Last("signature_invalid", 1_600)))
    activities.begin(name, "portal", 2_000)
    counts: dict[str, Any] = {**NOTHING, "started": 1, "ended": 5, "refused": 4}

    assert before == SourceActivity()
    expected = SourceActivity(1_000, counts, Last("session_ended", 1_500), Last("signature_invalid", 1_600))
    assert activities.get(name, "portal") == expected
    activities.add(name, "portal", Tally({"ended": 1, "refused": 1}, Last("ignored", 1_700), Last("issuer_mismatch", 1_599)))
    after = activities.get(name, "portal")
    assert (after.counts["ended"], after.counts["refused"]) == (6, 5)
    assert (after.last_event, after.last_refusal) == (Last("ignored", 1_700), Last("signature_invalid", 1_600))
    activities.delete(name, "portal")
    activities.delete(name, "portal")
    assert activities.get(name, "portal") == SourceActivity()
