import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from backchannel.api.sender_keys import SenderKeys
from backchannel.errors import CallerError, DocumentUnavailable, SignatureInvalidError
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.sessions.events import SubjectSessionsEnded
from backchannel.tokens.documents import Accept, Document, Documents
from backchannel.tokens.locations import Location, Upstream
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Context, Proven, Request, Trust
from backchannel.webhooks.signed_jwt import verify
from tests.unit.fakes import sample

SAMPLE = sample("authentik-mapping-jwt.json")
CLAIMS: Mapping[str, Any] = SAMPLE["claims"]
HEADER: Mapping[str, Any] = SAMPLE["jose_header"] | {"alg": "ES256"}
EXP = CLAIMS["exp"]
NOW = (EXP - 300) * 1000
KEY, OTHER = (ECKey.generate_key("P-256", {"kid": "synthetic"}) for _ in range(2))
PUBLIC = KEY.as_dict(private=False)
ACME = Provider("acme", CLAIMS["iss"], (), upstream=Upstream(jwks_uri="https://auth.example.test/jwks"))
HUB = Source("hub", "signed-jwt", None, audience=CLAIMS["aud"])


class Published:
    """What a sender publishes, and in what order its documents are read."""

    def __init__(self, *keys: Mapping[str, Any], renewed: tuple[Mapping[str, Any], ...] | None = None) -> None:
        self.keys, self.renewed_keys = keys, keys if renewed is None else renewed
        self.read: list[str] = []

    def get(self, location: Location, _: Accept) -> Document:
        self.read.append(location.uri)
        return Document({"keys": list(self.keys)}, 0)

    def renewed(self, location: Location, _: Accept) -> Document:
        self.read.append(f"{location.uri} anew")
        return Document({"keys": list(self.renewed_keys)}, 0)


def trust(published: Published | None = None, source: Source = HUB, provider: Provider = ACME) -> Trust:
    keys = SenderKeys(cast("Documents", published or Published(PUBLIC)))
    issuer = source.token_issuer or provider.issuer
    return Trust(list, lambda token: keys.verified(provider, source, token), issuer, source.audience)


def token(key: ECKey | OctKey = KEY, header: Mapping[str, Any] | None = None, **change: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not ...}
    encoded: str = jwt.encode({**HEADER, **(header or {})}, claims, key, algorithms=["ES256", "HS256"])
    return encoded


def wrapped(text: str) -> Request:
    return Request(json.dumps({"token": text}).encode(), {"content-type": "application/json"})


@pytest.mark.parametrize("request_", [wrapped(token()), Request(token().encode(), {"content-type": "application/jwt"})])
def test_the_sample_of_authentik_becomes_the_end_of_the_users_sessions(request_: Request) -> None:
    proven = verify(request_, trust(), NOW)
    (event,) = FORMATS["signed-jwt"].parse(proven, Context(ACME.issuer, "claim", NOW)).events

    assert isinstance(event, SubjectSessionsEnded)
    assert (event.sub, event.source_event_id) == (CLAIMS["data"]["sub"], CLAIMS["jti"])


@pytest.mark.parametrize(
    "change",
    [
        *({"iss": "https://other.example/"}, {"iss": ...}, {"aud": "wiki"}, {"aud": ["wiki"]}, {"aud": ...}, {"aud": {}}),
        *(
            {"exp": EXP - 300},
            {"exp": ...},
            {"exp": str(EXP)},
            {"exp": True},
            {"exp": EXP + 3301},
            {"exp": 1e300},
            {"exp": 10**400},
        ),
        *({"iat": EXP - 239}, {"iat": EXP - 3601}, {"iat": "now"}, {"nbf": EXP - 239}),
        *({"jti": ...}, {"jti": ""}, {"jti": 7}, {"type": ...}, {"type": 7}),
        {"header": {"typ": "logout+jwt"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": "secevent+jwt"}},
        {"key": OTHER},
    ],
)
def test_a_token_for_another_purpose_time_or_place_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(wrapped(token(**change)), trust(), NOW)


@pytest.mark.parametrize(
    "change",
    [
        *({"aud": ["wiki", CLAIMS["aud"]]}, {"iat": EXP - 300}, {"iat": EXP - 240, "nbf": EXP - 240}, {"exp": EXP + 3300}),
        *({"header": {"typ": "jwt"}}, {"header": {"typ": "application/jwt"}}, {"exp": EXP - 299.5}),
    ],
)
def test_a_token_within_its_bounds_is_taken(change: dict[str, Any]) -> None:
    assert verify(wrapped(token(**change)), trust(), NOW).event_id == CLAIMS["jti"]


def test_the_sources_own_issuer_and_keys_go_before_the_providers() -> None:
    published = Published(PUBLIC)
    source = replace(HUB, token_issuer="https://hub.example/", jwks_uri="https://hub.example/jwks")

    verify(wrapped(token(iss="https://hub.example/")), trust(published, source), NOW)

    assert published.read == ["https://hub.example/jwks"]
    with pytest.raises(SignatureInvalidError):
        verify(wrapped(token()), trust(published, source), NOW)


def test_a_key_that_is_not_in_the_copy_is_looked_for_once() -> None:
    rotated = Published({**PUBLIC, "kid": "old"}, renewed=(PUBLIC,))

    verify(wrapped(token()), trust(rotated), NOW)

    assert rotated.read == ["https://auth.example.test/jwks", "https://auth.example.test/jwks anew"]


def test_without_any_jwks_the_sender_is_to_come_again() -> None:
    with pytest.raises(DocumentUnavailable):
        verify(wrapped(token()), trust(provider=replace(ACME, upstream=None)), NOW)


def test_a_symmetric_signature_proves_nothing() -> None:
    forged = token(OctKey.import_key(json.dumps(PUBLIC)), {"alg": "HS256"})

    with pytest.raises(SignatureInvalidError):
        verify(wrapped(forged), trust(), NOW)


def test_an_unsigned_token_proves_nothing() -> None:
    _, payload, _ = token().split(".")

    for signature in ("", "AA"):
        with pytest.raises(SignatureInvalidError):
            verify(wrapped(f"eyJhbGciOiJub25lIn0.{payload}.{signature}"), trust(), NOW)


@given(st.integers(0, len(token()) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_in_which_one_character_was_altered_is_refused(place: int, character: str) -> None:
    signed = token()
    altered = signed[:place] + character + signed[place + 1 :]
    last_of_a_part = place + 1 == len(signed) or signed[place + 1] == "."  # whose last bits may mean nothing

    if altered != signed and not last_of_a_part:
        with pytest.raises(SignatureInvalidError):
            verify(wrapped(altered), trust(), NOW)


@given(st.binary() | st.dictionaries(st.just("token"), st.text() | st.none()).map(json.dumps).map(str.encode))
def test_garbage_is_refused_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(body, {}), trust(), NOW)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=2)))
def test_claims_of_any_kind_are_the_callers_error_at_worst(value: object) -> None:
    for name in ("iss", "aud", "exp", "iat", "nbf", "jti", "type", "timestamp", "data"):
        typed = cast("Any", SimpleNamespace(verified_jwt=lambda _, name=name: (None, {**CLAIMS, name: value})))
        try:
            proven = verify(wrapped("a.b.c"), Trust(list, typed.verified_jwt, ACME.issuer, HUB.audience), NOW)
            FORMATS["signed-jwt"].parse(proven, Context(ACME.issuer, "claim", NOW))
        except CallerError:
            continue
        assert isinstance(proven, Proven)
