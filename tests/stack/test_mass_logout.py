"""Log everybody of a provider out, at a rate: a mass logout through the deployed service."""

import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from backchannel.sessions.events import RpSessionStarted
from local.client import Stack
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.mass_logouts import PATH, MassLogoutRun, by_client, store
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.relying_party import Answer, RelyingParty
from tests.support.signing import unverified_part

SUBJECTS = [f"user-{n}" for n in range(12)]
ROOT = "arn:aws:iam::000000000000:root"


def crowd(stack: Stack, provider: Provider, *clients: str) -> None:
    """Give every subject an RP session at each client."""
    started = round(time.time() * 1000) - 60_000
    store(stack, provider.issuer, [RpSessionStarted(sub, each, started, f"s-{sub}") for sub in SUBJECTS for each in clients])


def subs(rp: RelyingParty) -> list[str]:
    return sorted(str(unverified_part(token, 1).get("sub")) for token in rp.tokens)


def test_everybody_is_logged_out_also_where_one_client_is_down(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    wiki, mail, chat = relying_party(), relying_party(), relying_party(Answer(503))
    clients = [provider.register_client(each, name) for each, name in ((wiki, "wiki"), (mail, "mail"), (chat, "chat"))]
    crowd(stack, provider, *clients)

    status, estimate = stack.admin(
        "POST", PATH, {"scope": {"provider": provider.name}, "reason": "x", "rate": 12, "dry_run": True}
    )
    began = time.monotonic()
    mass = MassLogoutRun(provider, rate=12, client_rate=12)
    again = MassLogoutRun(provider)
    another, _ = stack.admin("POST", PATH, {"scope": {"provider": provider.name}, "reason": "logout"})
    provider.start("wiki", sub="user-0", sid="newer")  # logs in meanwhile
    seen = mass.wait_for(lambda seen: seen["released"]["sessions"] == 36)
    took = time.monotonic() - began
    late = datetime.now(UTC) - timedelta(minutes=1)
    told_at_once = provider.start("mail", sub="late", sid="s-late", at=late)["ended"]
    seen = mass.wait_for(lambda seen: by_client(seen)["chat"] == 12 and _accepted(seen) == {"wiki": 12, "mail": 12, "chat": 0})

    assert (status, another, told_at_once) == (200, 409, 1)
    assert (estimate["subjects"], estimate["sessions"], estimate["without_sid"]) == (12, 36, 0) or estimate["share"] < 1
    assert (mass.status, again.status, again.id) == (202, 200, mass.id)
    assert took >= 36 / 12 - 2, "two seconds are made up for"
    assert (seen["state"], seen["is_read"], seen["fanned_out"], seen["requested_by"]) == ("running", True, 12, ROOT)
    assert seen["found"] == seen["released"] == {"subjects": 12, "sessions": 36}
    until(lambda: "late" in subs(mail))
    assert subs(mail) == sorted([*SUBJECTS, "late"])
    assert [each for each in SUBJECTS if each not in subs(wiki)] in ([], ["user-0"])  # whom a token by sid has told
    (newer,) = [each for each in provider.rp_sessions(sub="user-0") if each["sid"] == "newer"]
    assert newer["ended_at"] is None
    assert mass.cancel()["state"] == "cancelled"


def _accepted(seen: Json) -> dict[str, int]:
    return {client: counts.get("accepted", 0) for client, counts in seen["clients"].items()}


def test_a_mass_logout_at_one_client_is_paused_resumed_and_finished(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    wiki, mail = relying_party(), relying_party()
    for each, name in ((wiki, "wiki"), (mail, "mail")):
        provider.register_client(each, name)
    crowd(stack, provider, "wiki", "mail")

    mass = MassLogoutRun(provider, scope={"client_id": "wiki"}, rate=2, client_rate=2)
    mass.wait_for(lambda seen: seen["released"]["sessions"] > 0)
    mass.pause()
    time.sleep(2.5)
    paused = mass.look()
    time.sleep(1.5)
    still = mass.look()
    mass.set_rate(rate=1000, client_rate=1000)
    mass.resume()
    seen = mass.wait_until_finished()

    assert paused["released"] == still["released"]
    assert paused["released"]["sessions"] < 12
    assert (seen["state"], seen["deliveries"], seen["clients"]) == ("finished", {"accepted": 12}, {"wiki": {"accepted": 12}})
    assert [each["what"] for each in seen["history"]] == ["started", "paused", "rate 1000, client_rate 1000", "resumed"]
    assert (subs(wiki), subs(mail)) == (sorted(SUBJECTS), [])
    listed = stack.admin("GET", f"{PATH}?limit=1")[1]
    assert listed["next"] is not None
    for change in ("pause", "resume"):
        assert stack.admin("POST", f"{PATH}/{mass.id}/{change}")[0] == 409


def test_listed_users_are_logged_out_and_a_cancel_says_what_was_sent(
    stack: Stack, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    wiki = relying_party()
    provider.register_client(wiki, "wiki")
    crowd(stack, provider, "wiki")

    few = MassLogoutRun(provider, scope={"subjects": ["user-1", "user-2"]})
    slow = MassLogoutRun(provider, rate=1, client_rate=1)
    slow.wait_for(lambda seen: seen["released"]["sessions"] > 0)
    cancelled = slow.cancel()
    few.wait_until_finished()
    seen = slow.wait_until_finished()

    assert cancelled["state"] == seen["state"] == "cancelled"
    assert 0 < seen["released"]["sessions"] < 12
    assert set(subs(wiki)) >= {"user-1", "user-2"}
    assert len(set(subs(wiki))) <= 2 + seen["released"]["subjects"]
    assert (few.look()["listed_subjects"], few.look()["found"]["subjects"]) == (2, 2)


def test_a_dry_run_says_what_each_client_would_be_sent(stack: Stack, provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp = relying_party()
    provider.register_client(rp, "wiki")
    provider.register_client(rp, "mail", backchannel_logout_session_required=True)
    provider.register_client(rp, "chat", logout_reasons=["logout"])
    provider.register_client(rp, "news", own_tokens=False)
    started = round(time.time() * 1000) - 60_000
    places = [(each, sid) for each in ("wiki", "mail", "chat", "news", "gone") for sid in ("s1", "s2")]
    store(stack, provider.issuer, [RpSessionStarted("ada", each, started, sid) for each, sid in places])

    scope = {"provider": provider.name, "subjects": ["ada"]}
    _, estimate = stack.admin("POST", PATH, {"scope": scope, "reason": "compromised", "rate": 1, "dry_run": True})

    assert {each["client_id"]: (each["tokens"], each["state"]) for each in estimate["clients"]} == {
        "wiki": (1, "ready"),
        "mail": (2, "ready"),
        "chat": (0, "suppressed"),
        "news": (0, "provider_tokens_only"),
        "gone": (0, "unregistered"),
    }
    assert estimate["seconds"] == 3.0


@pytest.mark.parametrize(
    ("scope", "status"), [({"provider": "nobody"}, 404), ({"client_id": "nobody"}, 404), ({"subjects": []}, 400), ({"x": 1}, 400)]
)
def test_a_scope_that_is_nobody_s_is_refused(provider: Provider, scope: dict[str, object], status: int) -> None:
    answer = provider.stack.admin("POST", PATH, {"scope": {"provider": provider.name, **scope}, "reason": "compromised"})

    assert answer[0] == status


def test_the_reason_has_to_be_given(provider: Provider) -> None:
    assert provider.stack.admin("POST", PATH, {"scope": {"provider": provider.name}})[0] == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PATCH", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel")]
)
def test_a_mass_logout_that_does_not_exist_is_not_found(stack: Stack, method: str, path: str) -> None:
    unknown = f"{PATH}/00000000-0000-4000-8000-000000000000{path}"

    assert stack.admin(method, unknown, {} if method == "PATCH" else None)[0] == 404


# --- who may do it --------------------------------------------------------------------------------------------------------

ALL_BUT_MASS_LOGOUTS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"},
        {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*/live/*/mass-logouts*"},
    ],
}


@pytest.fixture
def operator(aws: Aws) -> Iterator[Credentials]:
    """Return the keys of somebody who may do everything but mass logouts."""
    iam, name = aws.client("iam"), f"operator-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="api", PolicyDocument=json.dumps(ALL_BUT_MASS_LOGOUTS))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    yield Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    iam.delete_access_key(UserName=name, AccessKeyId=made["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="api")
    iam.delete_user(UserName=name)


def test_one_statement_keeps_somebody_from_mass_logouts_alone(stack: Stack, provider: Provider, operator: Credentials) -> None:
    def status(method: str, path: str) -> int:
        body = b"{}" if method in {"POST", "PATCH"} else b""
        request = AWSRequest(method, stack.api_url + path, data=body, headers={"Content-Type": "application/json"})
        SigV4Auth(operator, "execute-api", stack.region).add_auth(request)
        return urllib3.request(method, stack.api_url + path, body=body, headers=dict(request.headers), retries=False).status

    one = f"{PATH}/00000000-0000-4000-8000-000000000000"
    forbidden = [("POST", PATH), ("GET", PATH), ("GET", one), ("PATCH", one)]
    forbidden += [("POST", f"{one}/{change}") for change in ("pause", "resume", "cancel")]

    assert {status(*each) for each in forbidden} == {403}
    assert status("GET", provider.path) == 200
    assert status("POST", f"{provider.path}/logouts") == 400
