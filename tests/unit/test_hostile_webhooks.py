"""No bytes and no headers make a format raise anything but its own errors, whatever a sender has proven."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.webhooks import session_events
from backchannel.errors import CallerError, MalformedRequestError, NotFoundError, SignatureInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.strict_json import MAX_NESTING, read
from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks import keycloak, logout_tokens
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import Proven, Request, Trust, json_object
from tests.unit.fakes import EVENTS, ISSUER

AT = 1_788_249_600_123
PROVIDER = Provider("acme", ISSUER, ())
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_" + "A" * 43 + "=")

NASTY = [
    "NaN",
    "-Infinity",
    "1e999",
    "-1e999",
    "9" * 400,
    "-" + "9" * 4_000,
    "9" * 5_000,
    '"\\ud800"',
    '"\\udfff\\u0000"',
    '{"a": 1, "a": 2}',
    "[" * 70 + "]" * 70,
    '{"a":' * 70 + "1" + "}" * 70,
    "[" * 9_000 + "]" * 9_000,
    "[" * 100_000,
    '"0001-01-01T00:00:00+23:59"',
    '"9999-12-31T23:59:59-23:59"',
    "1e3",
    "true",
    "null",
    '""',
]
MEMBERS = (
    *("type", "id", "timestamp", "data", "events", "time", "uid", "realmName", "authDetails", "details", "resourcePath"),
    *("representation", "iss", "aud", "exp", "iat", "nbf", "jti", "sub", "sid", "nonce", "client_id", "expires_at", "reason"),
    *("userId", "clientId", "sessionId", "revoked_client", "refresh_token_id"),
)
FILES = [json.loads(path.read_text()) for path in sorted(EVENTS.glob("*.json")) if path.name[:3] not in {"api", "sqs", "sch"}]
SAMPLES = [each for content in FILES for each in (content if isinstance(content, list) else [content])]
DOCUMENTS = [*SAMPLES, *(each["claims"] for each in SAMPLES if "claims" in each), {"events": []}, {"data": {"events": [{}]}}]
KINDS = [*keycloak._TYPES, "rp_session.started", "session.ended", "user.sessions_ended"]
HEADERS = (
    *("authorization", "content-type", "x-keycloak-signature", "x-okta-verification-challenge"),
    *("webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-timestamp", "svix-signature"),
    *("zitadel-signature", "workos-signature", "logto-signature-sha-256", "x-fusionauth-signature-jwt"),
)

texts = st.text() | st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=8)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    texts
    | st.sampled_from(["v1,", "v1a," + "A" * 86 + "==", "Bearer ", "Bearer \ud800", "1" * 12, "sha256=" + "0" * 64])
    | st.just("application/x-www-form-urlencoded"),
)


def _with(document: Any, name: str, nasty: str, within: str | None) -> bytes:
    """Return a document in whose text a member, at the top or further within, is something nasty."""
    hole = "a hole in a text"
    inner = document.get(within) if within is not None and isinstance(document, dict) else None
    holed = {**document, within: {**inner, name: hole}} if isinstance(inner, dict) else {**document, name: hole}
    return json.dumps(holed).replace(json.dumps(hole), nasty).encode()


documents = st.builds(
    _with,
    st.sampled_from(DOCUMENTS)
    | st.builds(lambda kind, time: {"type": kind, "time": time, "uid": "u", "id": "i"}, st.sampled_from(KINDS), st.just(AT)),
    st.sampled_from(MEMBERS),
    st.sampled_from(NASTY),
    st.none() | st.sampled_from(["data", "authDetails", "details", "claims", "detail", "sub_id"]),
)
bodies = (
    st.binary() | texts.map(lambda text: text.encode(errors="surrogatepass")) | documents | st.sampled_from(NASTY).map(str.encode)
)


def _nobody(_: str, client_id: str) -> Client:
    raise NotFoundError.of("client", client_id)


def _claims_of(token: str) -> tuple[str | None, dict[str, Any]]:
    jws = unverified(token)
    return jws.typ, dict(jws.claims)


TRUST = Trust(lambda: SECRETS, _claims_of, ISSUER, audience="hub")
"""Of whoever can sign anything."""


def raises_only_its_own(call: Callable[[], object]) -> None:
    try:
        call()
    except CallerError as error:
        str(error).encode()


@given(bodies, headers, st.sampled_from([*FORMATS]))
def test_no_bytes_and_no_headers_make_a_verification_fail_otherwise(body: bytes, given_: dict[str, str], name: str) -> None:
    raises_only_its_own(lambda: FORMATS[name].verify(Request(body, given_), TRUST, AT))


@given(bodies, st.sampled_from([*FORMATS]), st.sampled_from(["claim", "sha256", "none"]), st.booleans())
def test_no_proven_body_makes_a_parser_fail_otherwise(body: bytes, name: str, sid_trust: Any, require_iss: bool) -> None:  # noqa: FBT001 - drawn
    source = Source("s", name, "secret", sid_trust, "end_subject", require_iss=require_iss)
    event_id = "msg-1" if FORMATS[name].event_id_is_beside else None

    raises_only_its_own(lambda: session_events(Proven(body, event_id), PROVIDER, source, _nobody, AT))


@given(documents, documents, st.sampled_from(["standard-webhooks", "bearer", "signed-jwt"]))
def test_no_entry_of_a_batch_makes_it_fail_otherwise(one: bytes, other: bytes, name: str) -> None:
    body = b'{"events": [%s, %s]}' % (one, other)

    raises_only_its_own(lambda: session_events(Proven(body, "m"), PROVIDER, Source("s", name, "secret"), _nobody, AT))


def _token(header: bytes, claims: bytes) -> str:
    parts = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (header, claims, b"signature")]
    return ".".join(parts)


own = {"iss": ISSUER, "aud": "hub", "exp": AT // 1000 + 60, "iat": AT // 1000, "jti": "j", "type": "user.sessions_ended"}
logout = {**own, "events": {logout_tokens.EVENT: {}}, "sub": "ada"}
GOOD_HEADER = b'{"alg": "ES256", "typ": "JWT"}'


def _receive(header: bytes, claims: bytes, name: str) -> None:
    token = _token(header, claims)
    form = {"content-type": "application/x-www-form-urlencoded"}
    request = (
        Request(urlencode({"logout_token": token}).encode(), form) if name == "logout-token" else Request(token.encode(), {})
    )
    proven = FORMATS[name].verify(request, TRUST, AT)
    session_events(proven, PROVIDER, Source("s", name, None, audience="hub"), _nobody, AT)


@pytest.mark.parametrize("name", ["signed-jwt", "logout-token"])
@pytest.mark.parametrize("nasty", NASTY, ids=lambda nasty: nasty[:12])
def test_no_signed_token_makes_a_format_fail_otherwise(nasty: str, name: str) -> None:
    good = logout if name == "logout-token" else own
    claims = [_with(good, member, nasty, within) for member in MEMBERS for within in (None, "events")]
    headers_ = [_with({"alg": "ES256"}, member, nasty, None) for member in ("alg", "typ", "kid", "crit", "x")]

    for each in (*claims, nasty.encode()):
        raises_only_its_own(lambda each=each: _receive(GOOD_HEADER, each, name))  # type: ignore[misc]
    for each in (*headers_, nasty.encode()):
        raises_only_its_own(lambda each=each: _receive(each, json.dumps(good).encode(), name))  # type: ignore[misc]


# --- what JSON may be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": %s}' % ("9" * 5_000),
        '{"a": 1, "\\u0061": 2}',
        '{"data": {"sub": "ada", "sub": "bob"}}',
        '{"a": %s}' % ("[" * MAX_NESTING + "]" * MAX_NESTING),
        '{"a": %s}' % ("[" * 9_000 + "]" * 9_000),
        '{"a":' * 100_000,
    ],
    ids=lambda text: text[:16],
)
def test_json_that_not_every_reader_reads_alike_is_malformed(text: str) -> None:
    with pytest.raises(MalformedRequestError, match="the body is not JSON"):
        json_object(text.encode())


def test_json_may_nest_as_deep_as_its_limit() -> None:
    text = "[" * MAX_NESTING + "]" * MAX_NESTING

    assert read(text) == json.loads(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        read(f"[{text}]")


def test_half_a_surrogate_pair_where_nobody_looks_loses_no_event() -> None:
    assert json_object(b'{"note": "\\ud800"}') == {"note": "\ud800"}


def test_a_token_whose_claims_nest_too_deeply_is_no_token() -> None:
    nested = b'{"a": %s}' % (b"[" * MAX_NESTING + b"]" * MAX_NESTING)

    with pytest.raises(SignatureInvalidError):
        unverified(_token(b'{"alg": "ES256"}', nested))
