"""Which ends end sessions: what a source's ``ends_sessions`` chooses, whatever the format."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backchannel.api.requests import SourceMetadata
from backchannel.api.webhooks import session_events
from backchannel.errors import NotFoundError
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.reasons import POLICIES, Reason
from backchannel.sessions.events import RpSessionStarted
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Parsed, Proven
from tests.unit.fakes import EVENTS, sample

AT = 1_788_249_600_123
PROVIDER = Provider("acme", "https://idp.example/realms/customer", ())
KEYCLOAK = {
    "access.LOGOUT": "logout",
    "access.USER_SESSION_DELETED": "session_revoked",
    "access.USER_DISABLED_BY_PERMANENT_LOCKOUT": "user_disabled",
    "access.DELETE_ACCOUNT": "user_deleted",
    "access.REVOKE_GRANT": "consent_revoked",
    "access.REVOKE_GRANT-token": "token_revoked",
    "access.UPDATE_PASSWORD": "credential_changed",
    "admin.USER-ACTION-logout": "admin_logout",
    "admin.USER-DELETE": "user_deleted",
    "admin.USER-UPDATE-disabled": "user_disabled",
    "admin.USER_SESSION-DELETE": "admin_logout",
}
"""The samples of Keycloak that end something, and the policy that each goes by."""

GENERIC = ("standard-webhooks", "bearer", "signed-jwt")


def _nobody(_: str, client_id: str) -> Client:
    raise NotFoundError.of("client", client_id)


def _read(document: Any, source_format: str, ends_sessions: tuple[str, ...] | None = None) -> Parsed:
    source = Source("s", source_format, "secret", ends_sessions=ends_sessions)
    body = json.dumps(document).encode()
    event_id = "msg-1" if FORMATS[source_format].event_id_is_beside else None
    return session_events(Proven(body, event_id), PROVIDER, source, _nobody, AT)


def _keycloak(name: str, ends_sessions: tuple[str, ...] | None = None) -> Parsed:
    return _read(sample(f"keycloak-p2inc-{name}.json"), "keycloak", ends_sessions)


def _end(**data: Any) -> Any:
    when = "2026-09-01T08:00:00.000Z"
    return {"type": "session.ended", "id": "event-1", "timestamp": when, "data": {"sid": "sid-1", "sub": "ada", **data}}


def _start(**data: Any) -> Any:
    return {**_end(client_id="wiki", **data), "type": "rp_session.started"}


@pytest.mark.parametrize(("name", "policy"), KEYCLOAK.items())
def test_each_of_keycloaks_ends_goes_by_one_policy(name: str, policy: str) -> None:
    without = tuple(each for each in POLICIES if each != policy)

    assert len(_keycloak(name, (policy,)).events) == 1
    assert _keycloak(name, without) == Parsed(ignored=1, not_chosen=(policy,))


@pytest.mark.parametrize("source_format", GENERIC)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_generic_end_goes_by_its_reason(source_format: str, policy: str) -> None:
    without = tuple(each for each in POLICIES if each != policy)
    document = _end(reason=policy.upper())

    assert len(_read(document, source_format, (policy,)).events) == 1
    assert _read(document, source_format, without) == Parsed(ignored=1, not_chosen=(policy,))


@pytest.mark.parametrize("reason", [{}, {"reason": None}, {"reason": ""}, {"reason": 7}, {"reason": "spring cleaning"}])
def test_an_end_for_no_known_reason_goes_by_logout(reason: dict[str, Any]) -> None:
    assert len(_read(_end(**reason), "bearer", ("logout",)).events) == 1
    assert _read(_end(**reason), "bearer", ("expired",)).not_chosen == ("logout",)


@pytest.mark.parametrize("name", KEYCLOAK)
def test_by_default_keycloak_ends_sessions_by_all_but_a_refresh_tokens_end(name: str) -> None:
    assert len(_keycloak(name).events) == (KEYCLOAK[name] != "token_revoked")


@pytest.mark.parametrize("source_format", GENERIC)
@pytest.mark.parametrize("policy", POLICIES)
def test_by_default_every_generic_end_ends_sessions(source_format: str, policy: str) -> None:
    assert len(_read(_end(reason=policy), source_format).events) == 1


@pytest.mark.parametrize("cause", ["consent_revoked", "token_revoked"])
def test_what_a_client_may_no_longer_do_is_a_mere_logout_and_no_emergency(cause: str) -> None:
    (event,) = _read(_end(reason=cause), "bearer").events

    assert not isinstance(event, RpSessionStarted)
    assert event.reason is Reason.LOGOUT


def test_a_credential_that_has_to_be_changed_counts_as_one_that_was() -> None:
    (event,) = _read(_end(reason="credential_change_required"), "bearer").events

    assert not isinstance(event, RpSessionStarted)
    assert (event.reason, event.cause) == (Reason.CREDENTIAL_CHANGED, "credential_change_required")


def test_the_documented_table_of_policies_is_what_the_formats_choose_by_default() -> None:
    text = (EVENTS.parent / "docs" / "sessions.md").read_text().partition("## Which ends end sessions")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]

    off = {row[0].strip("`"): {name for name in FORMATS if f"`{name}`: off" in row[-1]} for row in rows}

    wanted = {word: {name for name, each in FORMATS.items() if word not in each.ends_sessions} for word in POLICIES}
    assert list(off.items()) == [(str(word), names) for word, names in wanted.items()]


@given(st.sets(st.sampled_from(POLICIES)), st.lists(st.sampled_from([*POLICIES, "", "start"])))
def test_starts_and_chosen_ends_are_kept_and_all_others_counted(chosen: set[str], given_: list[str]) -> None:
    documents = [_start() if each == "start" else _end(reason=each) for each in given_]

    parsed = _read({"events": documents}, "bearer", tuple(chosen))

    words = ["logout" if each == "" else each for each in given_]
    left_out = [word for word in words if word != "start" and word not in chosen]
    assert parsed.not_chosen == tuple(left_out)
    assert (len(parsed.events), parsed.ignored, parsed.refused) == (len(words) - len(left_out), len(left_out), ())


@pytest.mark.parametrize("words", [["login"], ["Logout"], [""], [None], "logout", {"logout": True}, [["logout"]]])
def test_a_policy_that_nobody_knows_is_refused_at_registration(words: object) -> None:
    with pytest.raises(ValidationError, match="ends_sessions"):
        SourceMetadata.model_validate({"format": "keycloak", "secret": "kc-synthetic", "ends_sessions": words})


@pytest.mark.parametrize("words", [None, [], ["logout"], [*POLICIES]])
def test_any_choice_of_policies_can_be_registered(words: list[str] | None) -> None:
    metadata = SourceMetadata.model_validate({"format": "keycloak", "secret": "kc-synthetic", "ends_sessions": words})

    assert metadata.ends_sessions == words
