import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import (
    CallerError,
    IdentifierInvalidError,
    IssuerMismatchError,
    MalformedRequestError,
    SignatureInvalidError,
    SubjectUnknownError,
)
from backchannel.reasons import Reason
from backchannel.sessions.events import SubjectSessionsEnded
from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks.okta_universal_logout import FORMAT, parse, verify
from backchannel.webhooks.request import Context, Proven, Request, Trust
from tests.support.sender import PUBLISHED, token
from tests.unit.fakes import sample

type Json = dict[str, Any]

AT = 1_788_249_600_000
"""When the samples' tokens were issued."""

NOW = AT + 700
ORG = "https://acme.okta.com"
CUSTOM = "https://acme.okta.com/oauth2/aus0000000000000001"
WIKI = "0oa0000000000000wik7"
ADA = "00u0000000000000ada7"
SAMPLE = sample("okta-universal-logout.json")
CLAIMS: Json = SAMPLE["jwt_payload"]
CONTEXT = Context(CUSTOM, "claim", NOW, token_issuer=ORG)
TYP = "global-token-revocation+jwt"


def _verified(signed: str) -> tuple[str | None, Mapping[str, Any]]:
    found = unverified(signed)
    found.verify(PUBLISHED)
    return found.typ, found.claims


TRUST = Trust(list, _verified, ORG, CLAIMS["aud"])


def request(body: object = SAMPLE["body"], typ: str = TYP, **changed: Any) -> Request:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(content, {"authorization": f"Bearer {token(claims, typ)}"})


def read(sub_id: object, context: Context = CONTEXT, **claims: Any) -> SubjectSessionsEnded:
    (event,) = parse(Proven(json.dumps({**CLAIMS, **claims, "sub_id": sub_id}).encode(), "gtr-0001"), context).events
    assert isinstance(event, SubjectSessionsEnded)
    return event


ISS_SUB = {"format": "iss_sub", "iss": ORG, "sub": ADA}
EMAIL = {"format": "email", "email": "user@example.com"}


def test_the_sample_ends_the_users_sessions_at_the_application_that_the_token_names() -> None:
    proven = verify(request(), TRUST, NOW)

    (event,) = parse(proven, CONTEXT).events

    assert event == SubjectSessionsEnded(ADA, NOW, "gtr-0001", WIKI, Reason.SESSION_REVOKED)
    assert FORMAT.success == SAMPLE["response"]["status"]


def test_the_sample_with_an_address_is_refused_unless_subs_are_addresses() -> None:
    given_ = sample("okta-universal-logout-email.json")
    trust = replace(TRUST, issuer=given_["jwt_payload"]["iss"], audience=given_["jwt_payload"]["aud"])
    proven = verify(request(given_["body"], **given_["jwt_payload"]), trust, NOW)

    with pytest.raises(SubjectUnknownError) as refused:
        parse(proven, CONTEXT)
    assert refused.value.status == given_["response"]["status"]
    (event,) = parse(proven, replace(CONTEXT, email_is_sub=True)).events
    assert event == SubjectSessionsEnded("user@example.com", NOW, "gtr-0002", WIKI, Reason.SESSION_REVOKED)


def test_a_source_may_say_that_one_application_means_all() -> None:
    assert read(ISS_SUB).client_id == WIKI
    assert read(ISS_SUB, replace(CONTEXT, ends_at="user")).client_id is None


@pytest.mark.parametrize("typ", [TYP, TYP.upper(), f"application/{TYP}"])
def test_the_type_of_the_token_is_a_media_type(typ: str) -> None:
    verify(request(typ=typ), TRUST, NOW)


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", "secevent+jwt", "at+jwt", f"{TYP}x", f"x{TYP}", ""])
def test_a_token_of_another_kind_is_refused(typ: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(request(typ=typ), TRUST, NOW)


def test_a_token_without_a_type_is_refused() -> None:
    trust = replace(TRUST, verified_jwt=lambda _: (None, CLAIMS))

    with pytest.raises(SignatureInvalidError, match="typ"):
        verify(request(), trust, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        *({"iss": None}, {"iss": "https://other.okta.com"}, {"iss": CUSTOM}, {"iss": ORG + "/"}),
        *({"aud": None}, {"aud": "https://hub.example.test/"}, {"aud": []}, {"aud": CLAIMS["aud"] + "?x=1"}),
        *({"exp": None}, {"exp": AT // 1000}, {"exp": AT // 1000 + 86_400}, {"exp": "soon"}),
        *({"nbf": AT // 1000 + 300}, {"iat": AT // 1000 + 300}, {"jti": None}, {"jti": ""}, {"jti": 7}),
    ],
)
def test_a_token_from_or_for_somebody_else_or_of_another_time_is_refused(changed: Json) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(request(**changed), TRUST, NOW)


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic x"}])
def test_without_a_token_nothing_is_proven(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", headers), TRUST, NOW)


def test_another_key_proves_nothing() -> None:
    authorization = request().headers["authorization"]
    altered = authorization[:-10] + ("A" if authorization[-10] != "A" else "B") + authorization[-9:]

    with pytest.raises(SignatureInvalidError):
        verify(Request(request().body, {"authorization": altered}), TRUST, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"sub_id": 1, "sub_id": 2}', b"\xff"])
def test_a_proven_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        verify(request(body), TRUST, NOW)


@pytest.mark.parametrize("issuer", [ORG, CUSTOM])
def test_a_user_may_be_named_by_the_issuer_of_the_tokens_or_of_the_provider(issuer: str) -> None:
    assert read({**ISS_SUB, "iss": issuer}).sub == ADA


@pytest.mark.parametrize("issuer", ["https://other.okta.com", ORG + "/", ORG + "/oauth2/aus0000000000000002", ""])
def test_a_user_of_another_issuer_is_another_person(issuer: str) -> None:
    with pytest.raises(IssuerMismatchError):
        read({**ISS_SUB, "iss": issuer})


@pytest.mark.parametrize("context", [CONTEXT, replace(CONTEXT, token_issuer=None)])
@pytest.mark.parametrize("issuer", [None, 7, {}, []])
def test_a_user_of_no_issuer_is_nobody(issuer: object, context: Context) -> None:
    with pytest.raises(MalformedRequestError):
        read({**ISS_SUB, "iss": issuer}, context)
    with pytest.raises(MalformedRequestError):
        read({"format": "iss_sub", "sub": ADA}, context)


@pytest.mark.parametrize(
    "sub_id", [None, [], "ada", {}, {"format": "opaque", "id": ADA}, {"format": ["email"]}, {"format": None}]
)
def test_a_subject_in_a_format_that_nobody_knows_is_malformed(sub_id: object) -> None:
    with pytest.raises(MalformedRequestError):
        read(sub_id)


@pytest.mark.parametrize("sub", [None, "", 7, "a\n", "\ud800", "a" * 3000])
def test_what_can_be_nobodys_sub_is_refused(sub: object) -> None:
    with pytest.raises(IdentifierInvalidError):
        read({**ISS_SUB, "sub": sub})
    with pytest.raises(IdentifierInvalidError):
        read({**EMAIL, "email": sub}, replace(CONTEXT, email_is_sub=True))
    with pytest.raises(IdentifierInvalidError):
        read(ISS_SUB, sub=sub)


@pytest.mark.parametrize(("iat", "at"), [(AT // 1000 - 60, AT - 59_001), (AT // 1000, NOW), (AT // 1000 + 30, NOW)])
def test_the_end_covers_the_second_in_which_the_token_was_issued(iat: int, at: int) -> None:
    assert read(ISS_SUB, iat=iat).ended_at == at


@pytest.mark.parametrize("iat", [None, "soon", True, 0, -1, 1e11, [7]])
def test_without_a_time_the_end_is_now(iat: object) -> None:
    assert read(ISS_SUB, iat=iat).ended_at == NOW


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)


@given(anything, st.dictionaries(st.sampled_from(["iat", "sub", "jti"]), anything), st.booleans())
def test_garbage_is_refused_and_nothing_worse(sub_id: object, claims: Json, email_is_sub: bool) -> None:  # noqa: FBT001 - drawn
    context = replace(CONTEXT, email_is_sub=email_is_sub)
    for each in (sub_id, {"format": "iss_sub", "iss": ORG, "sub": sub_id}, {"format": "email", "email": sub_id}):
        try:
            read(each, context, **claims)
        except CallerError:
            continue
