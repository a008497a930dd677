"""The command against the deployed service: from nothing to a first logout, and what an operator asks about it."""

import io
import json
import secrets

import pytest

from backchannel_cli.__main__ import run
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.command import Command, Ended
from tests.support.polling import until
from tests.support.principal import principal
from tests.support.provider import LOOPBACK, Provider, issuer_of, new_secret
from tests.support.relying_party import Answer

pytestmark = pytest.mark.senders

NETWORKS = f"allowed_networks={json.dumps(LOOPBACK)}"
DENIES = json.dumps({"Statement": [{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "*"}]})
HOSTILE = "\x1b[2J\u202eevil"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command, with a line of stdin."""

    def ran(words: str, *more: str, line: str = "") -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
        code = run([*words.split(), *more])
        return Ended(code, *capsys.readouterr())

    return ran


def test_from_nothing_to_a_logout_and_back(command: Command, relying_party: MakeRelyingParty) -> None:
    name, secret, rp = f"p-{secrets.token_hex(6)}", new_secret(), relying_party()

    created = command(f"--local provider set {name} issuer={issuer_of(name)} --json")
    source = command(f"--local source set {name}/app format=standard-webhooks --secret-stdin --json", line=secret)
    client = command(f"--local client set {name}/wiki --json", f"backchannel_logout_uri={rp.uri()}", NETWORKS)
    changed = command(f"--local client set {name}/wiki exp=60 --json")
    tested = command(f"--local test {name}/wiki --json")
    started = command(
        f"--local trigger rp_session.started sub=user-1 sid=s1 client_id=wiki --source {name}/app --secret-stdin", line=secret
    )
    ended = command(f"--local trigger session.ended sid=s1 --source {name}/app --secret-stdin --json", line=secret)
    until(lambda: rp.requests, holds=lambda found: len(found) == 2)

    assert [each.code for each in (created, source, client, changed, tested, started, ended)] == [0] * 7
    assert created.json["issuer"] == issuer_of(name)
    assert source.json["format"] == "standard-webhooks"
    assert (client.json["exp"], changed.json["exp"]) == (120, 60)
    assert changed.json["allowed_networks"] == LOOPBACK
    assert (tested.json["code"], tested.json["token"]["claims"]["aud"]) == ("accepted", "wiki")
    assert ended.json == {"started": 0, "ended": 1, "ignored": 0}

    status = until(
        lambda: command(f"--local status {name} --json").json["items"],
        holds=lambda items: items[0]["accepted"],
    )
    (mine,) = status
    assert (mine["clients"], mine["sources"], mine["failing"]) == (1, 1, [])

    removals = [
        command(f"--local {words} --yes") for words in (f"client rm {name}/wiki", f"source rm {name}/app", f"provider rm {name}")
    ]
    gone = command(f"--local provider show {name}")
    assert [each.code for each in [*removals, gone]] == [0, 0, 0, 3]


def test_the_stack_is_found_by_its_outputs(stack: Stack, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)

    found = command(f"context --region {stack.region} --json")
    named = command(f"context --region {stack.region} --stack backchannel-local --json")
    elsewhere = command("context --region eu-west-3 --stack backchannel-local-2")

    assert (found.json["stack"], found.json["environment"], found.json["prod"]) == ("backchannel-local", "local", False)
    assert named.json | {"found": ""} == found.json | {"found": ""}
    assert elsewhere.code == 3


def test_the_doctor_sees_an_alarm(aws: Aws, command: Command, provider: Provider) -> None:
    cloudwatch = aws.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="backchannel-local-AdminThrottlesAlarm")["MetricAlarms"]
    name, before = alarms[0]["AlarmName"], alarms[0]["StateValue"]

    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    try:
        ended = command(f"--local doctor {provider.name} --json")
    finally:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=before, StateReason="a test")

    found = {item["question"]: item for item in ended.json["items"]}
    assert ended.code == 1
    assert found["alarms"]["result"] == "wrong"
    assert "AdminThrottlesAlarm: " in found["alarms"]["what"]
    assert [found[question]["result"] for question in ("service", "credentials", "stack", "API")] == ["ok"] * 4
    assert found[f"sources of {provider.name}"]["result"] == "ok"


def test_a_principal_without_permission_is_told_what_is_missing(
    aws: Aws, stack: Stack, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with principal(aws, "cli") as somebody:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", somebody.credentials.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", somebody.credentials.secret_key)
        options = f"--url {stack.api_url} --region {stack.region}"
        allowed = command(f"provider list {options}")
        user = somebody.arn.rpartition("/")[2]
        aws.client("iam").put_user_policy(UserName=user, PolicyName="api", PolicyDocument=DENIES)
        refused = command(f"provider list {options}")

    assert (allowed.code, refused.code) == (0, 4)
    assert "execute-api:Invoke" in refused.stderr.splitlines()[-1]


def test_an_unknown_key_and_another_region_are_4(stack: Stack, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")

    ended = command(f"provider list --url {stack.api_url} --region {stack.region}")

    assert ended.code == 4


def test_hostile_words_of_a_relying_party_are_made_visible(
    command: Command, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp = relying_party(Answer(400, json.dumps({"error": "invalid_request", "error_description": HOSTILE}).encode()))
    client = provider.register_client(rp)

    ended = command(f"--local test {provider.name}/{client}")

    assert ended.code == 5
    assert "invalid_request" in ended.stdout
    assert all(line.isprintable() for line in (ended.stdout + ended.stderr).split("\n"))


def test_subjects_and_names_of_all_languages_come_through(command: Command, provider: Provider) -> None:
    client = provider.register_client("http://127.0.0.1:9/", client_id="山田-ñ")

    shown = command(f"--local client show {provider.name}/{client}")
    listed = command(f"--local client list {provider.name} --json")

    assert "山田-ñ" in shown.stdout
    assert [each["client_id"] for each in listed.json["items"]] == ["山田-ñ"]


def test_keys_are_listed_checked_and_rotated(command: Command, provider: Provider) -> None:
    provider.register_client("http://127.0.0.1:9/", client_id="wiki")

    listed = command(f"--local keys list {provider.name} --json")
    checked = command(f"--local keys check {provider.name} --json")
    rotated = command(f"--local keys rotate {provider.name} --alg RS256 --json")
    unasked = command(f"--local keys rotate {provider.name} --withdraw {listed.json['items'][0]['kid']}")

    assert [(key["alg"], key["state"], key["clients"]) for key in listed.json["items"]] == [("RS256", "signing", ["wiki"])]
    assert (checked.code, checked.json["clients"][0]["is_found"]) == (1, None)  # nobody listens at the issuer
    assert sorted(key["state"] for key in rotated.json["items"]) == ["published", "signing"]
    assert unasked.code == 2
