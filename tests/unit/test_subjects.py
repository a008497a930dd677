"""Whom a subject names (RFC 9493; SSF 1.0, section 3)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, MalformedRequestError
from backchannel.webhooks.request import Context
from backchannel.webhooks.subjects import NOBODY, NamedSubject, named_subject
from tests.support.json_values import json_values
from tests.unit.fakes import ISSUER, sample

NOW = 1_788_249_610_000
ADA: dict[str, Any] = {"format": "iss_sub", "iss": ISSUER, "sub": "ada"}
GRACE: dict[str, Any] = {"format": "iss_sub", "iss": ISSUER, "sub": "grace"}
STRANGER: dict[str, Any] = {"format": "iss_sub", "iss": "https://other.example/", "sub": "ada"}
EMAIL: dict[str, Any] = {"format": "email", "email": "ada@example.test"}
OPAQUE: dict[str, Any] = {"format": "opaque", "id": "sid-0001"}
USER = NamedSubject(user="ada")
BY_EMAIL = NamedSubject(user="ada@example.test")
SESSION = NamedSubject(session="sid-0001")


def _named(subject: object, **settings: Any) -> NamedSubject:
    return named_subject(subject, Context(ISSUER, "claim", NOW, **settings))


@pytest.mark.parametrize("name", sample("rfc9493-subject-formats.json"))
def test_each_format_of_rfc_9493_names_whom_it_can(name: str) -> None:
    expected = {
        "iss_sub": USER,
        "opaque": NamedSubject(opaque="11112222333344445555"),
        "aliases": USER,
        "complex(SSF)": SESSION,
    }

    assert _named(sample("rfc9493-subject-formats.json")[name]) == expected.get(name, NOBODY)


@pytest.mark.parametrize("name", ["email", "aliases", "complex(SSF)", "account", "phone_number"])
def test_an_e_mail_address_names_a_user_where_the_sub_is_one(name: str) -> None:
    expected = {"email": BY_EMAIL, "complex(SSF)": NamedSubject("ada@example.test", "sid-0001")}

    assert _named(sample("rfc9493-subject-formats.json")[name], email_is_sub=True) == expected.get(name, NOBODY)


def test_a_sub_of_another_issuer_is_another_person() -> None:
    assert _named(STRANGER) == NOBODY
    assert _named(STRANGER, subject_issuers=("https://other.example/",)) == USER
    assert _named({**ADA, "iss": ISSUER.rstrip("/")}) == NOBODY, "issuers are compared exactly"
    assert _named({"format": "complex", "user": STRANGER, "session": OPAQUE}) == NOBODY, "so is a session beside it"


@pytest.mark.parametrize("kind", ["iss-sub", "iss_sub", "id_token_claims", "id-token-claims"])
def test_a_draft_s_name_of_a_format_is_understood(kind: str) -> None:
    subject = {"subject_type": kind, "iss": ISSUER, "sub": "ada", "email": "ada@example.test"}

    assert _named(subject) == USER


def test_a_complex_subject_of_a_draft_has_no_format() -> None:
    assert _named({"session": OPAQUE, "user": EMAIL}) == SESSION
    assert _named({"user": ADA}) == USER


DEVICE = {"format": "opaque", "id": "device-1"}


@pytest.mark.parametrize("member", ["device", "application", "group", "org_unit", "something_else"])
def test_a_user_with_something_narrower_is_nobody_unless_the_source_widens_it(member: str) -> None:
    subject = {"format": "complex", "user": ADA, member: DEVICE}

    assert _named(subject) == NOBODY
    assert _named(subject, widen_subjects=True) == USER


def test_a_tenant_narrows_nothing() -> None:
    assert _named({"format": "complex", "user": ADA, "tenant": DEVICE}) == USER


@pytest.mark.parametrize("member", ["tenant", "device", "group", "org_unit"])
def test_what_describes_a_session_narrows_it_no_further(member: str) -> None:
    subject = {"format": "complex", "session": OPAQUE, "user": ADA, member: DEVICE}

    assert _named(subject) == NamedSubject("ada", "sid-0001", is_narrowed=member != "tenant")


def test_a_session_at_one_application_is_less_than_the_session() -> None:
    subject = {"format": "complex", "session": OPAQUE, "application": DEVICE}

    assert _named(subject) == NOBODY
    assert _named(subject, widen_subjects=True) == SESSION


def test_a_session_that_is_not_named_by_an_id_is_not_the_user() -> None:
    subject = {"format": "complex", "session": {"format": "jwt_id", "iss": ISSUER, "jti": "1"}, "user": ADA}

    assert _named(subject) == NOBODY


def test_the_session_all_is_every_session_of_the_user() -> None:
    every = {"format": "opaque", "id": "ALL"}

    assert _named({"format": "complex", "session": every, "user": ADA}) == NamedSubject("ada", is_every_session=True)
    assert _named({"format": "complex", "session": every, "user": ADA, "device": DEVICE}) == NOBODY
    assert _named({"format": "complex", "session": every}).user is None
    assert _named({"format": "complex", "session": every}).session is None


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ([ADA], USER),
        ([EMAIL, ADA, STRANGER, {"format": "did", "url": "did:example:1"}], USER),
        ([ADA, ADA], USER),
        ([ADA, GRACE], NOBODY),
        ([ADA, OPAQUE], NOBODY),
        ([OPAQUE], NamedSubject(opaque="sid-0001")),
        ([EMAIL], NOBODY),
        ([{"format": "aliases", "identifiers": [ADA]}], NOBODY),
        ([{"format": "complex", "user": ADA}], NOBODY),
    ],
)
def test_aliases_name_somebody_if_all_that_name_somebody_agree(identifiers: list[Any], expected: NamedSubject) -> None:
    assert _named({"format": "aliases", "identifiers": identifiers}) == expected


@pytest.mark.parametrize(
    "subject",
    [
        *(None, "ada", [], {}, {"format": 7}, {"format": "iss_sub", "sub": "ada"}, {"format": "iss_sub", "iss": ISSUER}),
        *({"format": "iss_sub", "iss": ISSUER, "sub": 7}, {"format": "opaque"}, {"format": "email"}, {"format": "aliases"}),
        *({"format": "aliases", "identifiers": []}, {"format": "aliases", "identifiers": ["ada"]}),
        *({"format": "complex", "user": "ada"}, {"format": "complex", "session": "sid"}, {"iss": ISSUER, "sub": "ada"}),
    ],
)
def test_what_is_no_subject_is_refused(subject: object) -> None:
    with pytest.raises(MalformedRequestError):
        _named(subject)


_SIMPLE = st.sampled_from([ADA, GRACE, STRANGER, EMAIL, OPAQUE, {"format": "uri", "uri": "https://idp.example/u"}])
_ANY = _SIMPLE | st.dictionaries(
    st.sampled_from(["user", "session", "device", "tenant", "application"]), _SIMPLE, min_size=1
).map(lambda members: {"format": "complex", **members})


@given(_ANY)
def test_nobody_is_named_whom_the_subject_does_not_name(subject: dict[str, Any]) -> None:
    found = _named(subject)
    texts = str(subject)

    assert all(value is None or value in texts for value in (found.user, found.session, found.opaque))
    assert found.user is None or f"'iss': '{ISSUER}'" in texts


@given(_ANY)
def test_a_widened_source_names_whom_the_other_names_or_more(subject: dict[str, Any]) -> None:
    assert _named(subject) in {NOBODY, _named(subject, widen_subjects=True)}


@given(st.lists(_SIMPLE, min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_aliases_does_not_matter(identifiers: list[Any], random: Any) -> None:
    shuffled = random.sample(identifiers, len(identifiers))

    assert _named({"format": "aliases", "identifiers": identifiers}) == _named({"format": "aliases", "identifiers": shuffled})


@given(
    json_values | st.dictionaries(st.sampled_from(["format", "user", "session", "id", "identifiers", "iss", "sub"]), json_values)
)
def test_any_json_names_somebody_or_is_refused(subject: object) -> None:
    try:
        _named(subject, email_is_sub=True, widen_subjects=True)
    except CallerError:
        return
