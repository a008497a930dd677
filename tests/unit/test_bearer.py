import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, RegistrationInvalidError, SignatureInvalidError
from backchannel.sessions.events import RpSessionStarted
from backchannel.webhooks.bearer import check_secret, parse, verify
from backchannel.webhooks.request import Context, Parsed, Proven, Request

SECRET = "a-static-secret-of-32-characters"
OTHER = "another-static-secret-of-many-ch"


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER  {SECRET}"])
@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET, OTHER]])
def test_the_secret_of_the_source_proves_its_sender(header: str, secrets: list[str]) -> None:
    verify(Request(b"{}", {"authorization": header}), secrets)


@pytest.mark.parametrize(
    "header",
    [
        *("", SECRET, "Bearer", "Bearer ", f"Basic {SECRET}", f"Bearer{SECRET}"),
        *(f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET.upper()}", f" Bearer {SECRET}"),
        *(f"Bearer {SECRET}, Bearer {SECRET}", f"Bearer {SECRET} ", "Bearer é", "Bearer \ud800"),
    ],
)
def test_any_other_header_proves_nothing(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {"authorization": header}), [SECRET])


@pytest.mark.parametrize("secrets", [[], [OTHER]])
def test_without_the_secret_there_is_no_proof(secrets: list[str]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {"authorization": f"Bearer {SECRET}"}), secrets)
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {}), secrets)


@given(st.text(st.characters(exclude_categories=[])))
def test_garbage_is_refused_and_nothing_worse(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"", {"authorization": header}), [SECRET])


@pytest.mark.parametrize("secret", ["", "x" * 23, "a secret with some spaces in it", "x" * 24 + "é", "x" * 24 + "\n"])
def test_a_secret_that_is_short_or_fits_no_header_is_refused(secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        check_secret(secret)


NOW = 1_788_249_600_123
CONTEXT = Context("https://idp.example.test/", "claim", NOW)


def _parse(**event: object) -> Parsed:
    return parse(Proven(json.dumps(event).encode()), CONTEXT)


@pytest.mark.parametrize("kind", ["session.ended", "user.sessions_ended"])
def test_an_end_without_a_time_is_one_of_now(kind: str) -> None:
    event = {"id": "e-1", "type": kind, "data": {"sub": "ada", "sid": "sid-1"}}

    (untimed,), (timed,) = _parse(**event).events, _parse(**event, timestamp="2026-09-01T08:00:00.123Z").events

    assert untimed == timed
    assert not isinstance(untimed, RpSessionStarted)
    assert untimed.ended_at == NOW


@pytest.mark.parametrize(
    "event",
    [
        {"id": "e-1", "type": "rp_session.started", "data": {"sub": "ada", "client_id": "wiki"}},
        {"id": "e-1", "type": "session.ended", "timestamp": None, "data": {"sid": "sid-1"}},
        {"type": "session.ended", "data": {"sid": "sid-1"}},
        {"id": "e-1", "type": ["session.ended"], "data": {"sid": "sid-1"}},
    ],
)
def test_a_start_needs_a_time_and_an_end_its_id(event: dict[str, object]) -> None:
    with pytest.raises(CallerError):
        _parse(**event)
