import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, MalformedRequestError, PayloadTooLargeError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEvent, SubjectSessionsEnded
from backchannel.webhooks.batches import MAX_EVENTS, read_batch
from backchannel.webhooks.okta import FORMAT, challenge, entries, parse
from backchannel.webhooks.policies import chosen
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Refused, Request
from tests.unit.fakes import EVENTS, sample

ADA = "00u0000000000000ada7"
ADMINISTRATOR = "00u0000000000000adm7"
AT = 1_788_256_800_000
OF_THE_ACTOR = ("user.session.end", "user.account.lock-ours")
CONTEXT = Context("https://acme.okta.com", "claim", now=AT + 500)


def _ended(number: int, reason: Reason) -> tuple[SessionEvent, ...]:
    return (SubjectSessionsEnded(ADA, AT, f"0a7a0000-0000-11f0-8000-{number:012}", reason=reason),)


SAMPLES: Mapping[str, tuple[SessionEvent, ...]] = {
    "user.session.start": (),
    "user.authentication.sso": (RpSessionStarted(ADA, "0oa0000000000000wik7", AT),),
    "user.authentication.sso-failed-ours": (),
    "user.session.end": _ended(3, Reason.LOGOUT),
    "user.session.clear": _ended(4, Reason.ADMIN_LOGOUT),
    "user.session.clear-nobody-ours": (),
    "user.lifecycle.deactivate": _ended(5, Reason.USER_DISABLED),
    "user.account.update_password": _ended(6, Reason.CREDENTIAL_CHANGED),
    "user.lifecycle.suspend-ours": _ended(21, Reason.USER_DISABLED),
    "user.lifecycle.delete.initiated-ours": _ended(22, Reason.USER_DELETED),
    "user.account.reset_password-ours": _ended(23, Reason.CREDENTIAL_CHANGED),
    "user.account.lock-ours": _ended(24, Reason.USER_DISABLED),
    "user.authentication.universal_logout-ours": _ended(25, Reason.SESSION_REVOKED),
    "policy.auth_reevaluate.fail-ours": _ended(26, Reason.COMPROMISED),
    "user.risk.detect-high-ours": _ended(27, Reason.COMPROMISED),
    "user.risk.detect-low-ours": (),
}


def event(name: str, **changed: Any) -> dict[str, Any]:
    """Return the event of a sample, with other members."""
    (found,) = sample(f"okta-eventhook-{name}.json")["data"]["events"]
    return {**found, **changed}


def read(document: object) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), CONTEXT)


def test_every_sample_has_its_expectation() -> None:
    names = {path.stem.removeprefix("okta-eventhook-") for path in EVENTS.glob("okta-eventhook-*.json")}

    assert names == {*SAMPLES, "verification"}


@pytest.mark.parametrize(("name", "events"), SAMPLES.items(), ids=SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str, events: tuple[SessionEvent, ...]) -> None:
    batch = entries(Proven((EVENTS / f"okta-eventhook-{name}.json").read_bytes()))

    nobody = UNMAPPABLE if "nobody" in name else IGNORED
    assert [parse(each, CONTEXT) for each in batch] == [Parsed(events) if events else nobody]


@pytest.mark.parametrize("name", ["user.session.clear", "user.lifecycle.deactivate"])
@pytest.mark.parametrize(
    "target", [None, [], [{}], [7], {}, "x", [{"type": "AppUser", "id": ADA}], [{"type": "user", "id": ADA}]]
)
def test_the_administrator_is_never_logged_out(name: str, target: object) -> None:
    assert event(name)["actor"]["id"] == ADMINISTRATOR

    assert ADMINISTRATOR not in repr(read(event(name)))
    assert read(event(name, target=target)) == UNMAPPABLE


@pytest.mark.parametrize("name", [name for name, events in SAMPLES.items() if events and "sso" not in name])
def test_who_acted_is_not_who_is_meant(name: str) -> None:
    somebody = {"id": "00u0000000000000bob7", "type": "User"}

    assert read(event(name, actor=somebody)) == read(event(name))
    if name not in OF_THE_ACTOR:
        assert read(event(name, actor=somebody, target=[])) == UNMAPPABLE


@pytest.mark.parametrize("name", OF_THE_ACTOR)
@pytest.mark.parametrize("target", [None, [], [{"id": "0oa0000000000000wik7", "type": "AppInstance"}]])
def test_what_only_users_do_to_themselves_is_about_its_actor_where_no_user_is_named(name: str, target: object) -> None:
    assert read(event(name, target=target)) == read(event(name))
    assert read(event(name, target=target, actor={"id": "sys", "type": "SystemPrincipal"})) == UNMAPPABLE
    assert read(event(name, target=target, actor={"id": "unknown", "type": "User"})) == UNMAPPABLE
    users = [{"id": ADMINISTRATOR, "type": "User"}, {"id": "00u0000000000000bob7", "type": "User"}]
    assert read(event(name, target=users)) == UNMAPPABLE


def test_an_account_is_locked_since_a_sign_on_failed() -> None:
    name = "user.account.lock-ours"

    assert read(event(name, outcome={"result": "FAILURE", "reason": "LOCKED_OUT"}, target=None)) == read(event(name))
    assert read(event(name, outcome={"result": "FAILURE", "reason": "INVALID_CREDENTIALS"})) == IGNORED
    assert read(event("user.session.clear", outcome={"result": "FAILURE", "reason": "LOCKED_OUT"})) == IGNORED


def test_of_several_users_nobody_knows_who_is_meant() -> None:
    users = [{"id": ADA, "type": "User"}, {"id": "00u0000000000000bob7", "type": "User"}]

    assert read(event("user.session.clear", target=users)) == UNMAPPABLE
    assert read(event("user.session.clear", target=[users[0], users[0]])).events[0] == _ended(4, Reason.ADMIN_LOGOUT)[0]


def test_the_target_of_a_sign_on_comes_before_its_actor() -> None:
    apps = event("user.authentication.sso")["target"]
    bob = {"id": "00u0000000000000bob7", "type": "User"}

    (started,) = read(event("user.authentication.sso", target=[*apps, bob])).events

    assert isinstance(started, RpSessionStarted)
    assert started.sub == bob["id"]


@pytest.mark.parametrize(
    "changed",
    [
        *({"actor": None}, {"actor": {}}, {"actor": {"id": "sys", "type": "SystemPrincipal"}}, {"actor": "ada"}),
        *({"target": None}, {"target": [{"id": ADA, "type": "User"}]}),
        {"target": [{"id": "0oa1", "type": "AppInstance"}, {"id": "0oa2", "type": "AppInstance"}]},
        {"target": [{"id": "0oa1", "type": "AppInstance"}, {"id": "u1", "type": "User"}, {"id": "u2", "type": "User"}]},
    ],
)
def test_a_sign_on_that_names_no_user_or_no_application_starts_nothing(changed: dict[str, Any]) -> None:
    assert read(event("user.authentication.sso", **changed)) == IGNORED


def test_the_client_that_asked_is_no_relying_party() -> None:
    client = {**event("user.authentication.sso")["client"], "id": "0oa0000000000000lookalike"}

    assert "lookalike" not in repr(read(event("user.authentication.sso", client=client)))


@pytest.mark.parametrize("name", ["user.session.clear", "user.authentication.sso", "user.account.update_password"])
@pytest.mark.parametrize("outcome", [None, {}, "SUCCESS", {"result": None}, {"result": "FAILURE"}, {"result": "SKIPPED"}])
def test_what_did_not_succeed_is_ignored(name: str, outcome: object) -> None:
    assert read(event(name, outcome=outcome)) == IGNORED


def test_success_is_success_in_any_case() -> None:
    assert read(event("user.session.clear", outcome={"result": "Success"})).events


@pytest.mark.parametrize("mode", ["false", "FALSE", False])
def test_a_policy_that_only_logs_ends_nothing(mode: object) -> None:
    assert read(event("policy.auth_reevaluate.fail-ours", debugContext={"debugData": {"CaeEnforceMode": mode}})) == IGNORED


@pytest.mark.parametrize("kind", ["user.risk.change", "user.risk.detect"])
@pytest.mark.parametrize(
    ("data", "is_high"),
    [
        ({"Risk": "{reasons=New IP, level=HIGH}"}, True),
        ({"risk": "{level=HIGH, previousLevel=LOW}"}, True),
        ({"Risk": {"level": "HIGH"}}, True),
        ({"Risk": "{previousLevel=HIGH, level=LOW}"}, False),
        ({"Risk": "{level=MEDIUM}"}, False),
        ({"Risk": "{level=HIGHER}"}, False),
        ({"Risk": {"level": "LOW"}}, False),
        ({"Risk": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_a_high_risk_ends_anything(kind: str, data: object, *, is_high: bool) -> None:
    parsed = read(event("user.risk.detect-high-ours", eventType=kind, debugContext={"debugData": data}))

    assert bool(parsed.events) == is_high


@pytest.mark.parametrize("name", SAMPLES)
def test_one_browsers_logout_and_a_guess_end_nothing_by_default(name: str) -> None:
    left = chosen(read(event(name)), FORMAT.ends_sessions)

    assert len(left.events) == (bool(SAMPLES[name]) and not any(word in name for word in ("session.end", "policy", "risk")))


@pytest.mark.parametrize("name", [name for name, events in SAMPLES.items() if events])
def test_an_event_that_comes_again_is_the_same_however_late(name: str) -> None:
    later = Context(CONTEXT.issuer, "claim", now=AT + 7 * 86_400_000)

    assert parse(Proven(json.dumps(event(name)).encode()), later) == read(event(name))
    assert FORMAT.max_age is None


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_bad_event_is_refused_and_keeps_no_other_out() -> None:
    good = event("user.session.clear")
    hook = {"data": {"events": [good, 7, {}, {**good, "published": "yesterday"}, {**good, "uuid": None}, {**good, "uuid": "u"}]}}

    parsed = read_batch(entries(Proven(json.dumps(hook).encode())), lambda each: parse(each, CONTEXT))

    assert [each.source_event_id for each in parsed.events if isinstance(each, SubjectSessionsEnded)] == [good["uuid"], "u"]
    assert parsed.refused == (
        *(Refused(1, "malformed_request"), Refused(2, "malformed_request")),
        *(Refused(3, "malformed_request"), Refused(4, "identifier_invalid")),
    )


@pytest.mark.parametrize("body", ["[]", "{}", '{"data": []}', '{"data": {}}', '{"data": {"events": {}}}', "", '{"data": '])
def test_a_body_that_is_no_event_hook_is_malformed(body: str) -> None:
    with pytest.raises(MalformedRequestError):
        entries(Proven(body.encode()))


def test_a_batch_of_a_thousand_events_is_taken_and_no_larger_one() -> None:
    hook = {"data": {"events": [event("user.session.clear", uuid=str(number)) for number in range(MAX_EVENTS + 1)]}}
    proven = Proven(json.dumps(hook).encode())
    assert len(proven.body) < FORMAT.max_body

    assert len(read_batch(entries(proven)[:MAX_EVENTS], lambda each: parse(each, CONTEXT)).events) == MAX_EVENTS
    with pytest.raises(PayloadTooLargeError):
        read_batch(entries(proven), lambda each: parse(each, CONTEXT))


# --- the question that comes first ------------------------------------------------------------------------------------


def test_oktas_question_is_answered_as_its_sample_shows() -> None:
    verification = sample("okta-eventhook-verification.json")
    headers = {name.lower(): value for name, value in verification["request"]["headers"].items()}

    assert challenge(Request(b"", headers)) == verification["response"]["body"]


@pytest.mark.parametrize("given_", [None, "", " ", "a b", "é", "a\n", "\x00", "\ud800", "a" * 513])
def test_a_question_that_is_none_is_malformed(given_: str | None) -> None:
    with pytest.raises(MalformedRequestError):
        challenge(Request(b"", {} if given_ is None else {"x-okta-verification-challenge": given_}))


# --- whatever comes ---------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(["uuid", "published", "eventType", "actor", "outcome", "target", "debugContext", "client"])


@given(st.sampled_from([*SAMPLES]), st.dictionaries(members, anything))
def test_a_broken_event_is_refused_or_read_as_something_well_formed(name: str, changed: dict[str, Any]) -> None:
    try:
        parsed = read(event(name, **changed))
    except CallerError:
        return
    for each in parsed.events:
        assert isinstance(each, SubjectSessionsEnded) or (isinstance(each, RpSessionStarted) and each.sid is None)
