from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import RegistrationInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.encryption import MAX_JWKS, MAX_KEYS
from backchannel.providers.registration import register
from backchannel.tokens.jwe import ENCS
from backchannel.tokens.jwks import PRIVATE_MEMBERS
from tests.support.encrypting import ALGS, KINDS, Jwk, kinds_of, private_jwk, public_jwk

WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout")
RSA = public_jwk("RSA", kid="rsa", use="enc")
RSA_OAEP = replace(WIKI, id_token_encrypted_response_alg="RSA-OAEP", jwks={"keys": [RSA]})
JWKS_URI = "https://wiki.example/jwks.json"


@pytest.mark.parametrize("enc", ENCS)
@pytest.mark.parametrize("alg", ALGS)
def test_a_client_may_ask_for_every_alg_and_enc_that_rps_decrypt(alg: str, enc: str) -> None:
    client = replace(
        WIKI,
        id_token_encrypted_response_alg=alg,
        id_token_encrypted_response_enc=enc,
        jwks={"keys": [public_jwk(kinds_of(alg)[0])]},
    )

    assert _register(client) == client


def test_enc_is_that_of_dynamic_registration_if_it_is_left_out() -> None:
    assert _register(RSA_OAEP) == replace(RSA_OAEP, id_token_encrypted_response_enc="A128CBC-HS256")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"id_token_encrypted_response_alg": "RSA1_5"}, "padding"),
        ({"id_token_encrypted_response_alg": "dir"}, "secret"),
        ({"id_token_encrypted_response_alg": "A128KW"}, "secret"),
        ({"id_token_encrypted_response_alg": "A192KW"}, "secret"),
        ({"id_token_encrypted_response_alg": "A256GCMKW"}, "secret"),
        ({"id_token_encrypted_response_alg": "PBES2-HS256+A128KW"}, "secret"),
        ({"id_token_encrypted_response_alg": "RSA-OAEP-512"}, "id_token_encrypted_response_alg must be one of RSA-OAEP, "),
        ({"id_token_encrypted_response_alg": "rsa-oaep"}, "must be one of"),
        ({"id_token_encrypted_response_alg": ""}, "must be one of"),
        ({"id_token_encrypted_response_enc": "A128GCM+"}, "id_token_encrypted_response_enc must be one of A128CBC-HS256, "),
        ({"id_token_encrypted_response_alg": None, "id_token_encrypted_response_enc": "A128GCM"}, "_enc needs id_token"),
        ({"jwks": None}, "jwks or jwks_uri"),
        ({"jwks_uri": JWKS_URI}, "together"),
        ({"jwks": {"keys": []}}, "the set is empty"),
        ({"jwks": {"keys": [public_jwk("P-256", kid="ec")]}}, "'ec' is of another type"),
        ({"jwks": {"keys": [RSA, public_jwk("RSA", 1, kid="other", use="enc")]}}, "2 keys fit RSA-OAEP: 'rsa', 'other'"),
        ({"jwks": {"keys": [RSA | {"e": "AQ"}]}}, "nothing can be encrypted to the key 'rsa'"),
        ({"jwks": {}}, "JWK Set"),
        ({"jwks": RSA}, "JWK Set"),
        ({"jwks": {"keys": {"rsa": RSA}}}, "JWK Set"),
        ({"jwks": {"keys": [RSA, "rsa"]}}, "JWK Set"),
        ({"jwks": {"keys": [RSA | {"kid": 7}]}}, "key 1 of jwks must have strings"),
        ({"jwks": {"keys": [RSA, RSA | {"key_ops": "encrypt"}]}}, "key 2 of jwks must have strings"),
        ({"jwks": {"keys": [RSA | {"key_ops": [{}]}]}}, "key 1 of jwks must have strings"),
        ({"jwks": {"keys": [RSA | {"use": "sig"}] * MAX_KEYS + [RSA]}}, "at most"),
        ({"jwks": {"keys": [RSA | {"kid": "k" * MAX_JWKS}]}}, "at most"),
    ],
)
def test_a_client_that_could_not_be_sent_encrypted_tokens_is_refused_with_the_reason(members: dict[str, Any], why: str) -> None:
    with pytest.raises(RegistrationInvalidError) as refusal:
        _register(replace(RSA_OAEP, **members))

    assert why in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_key_is_refused_and_not_repeated(kind: str) -> None:
    key = private_jwk(kind)

    with pytest.raises(RegistrationInvalidError, match="key 2 of jwks is a secret or a private key") as refusal:
        _register(replace(RSA_OAEP, jwks={"keys": [RSA, key]}))

    assert not [value for value in key.values() if isinstance(value, str) and len(value) > 8 and value in str(refusal.value)]


@pytest.mark.parametrize(
    "key", [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "oct"}, {"kty": "AKP", "alg": "ML-DSA-44", "priv": "AA"}]
)
@pytest.mark.parametrize("alg", ["RSA-OAEP", None])
def test_any_secret_is_refused_also_where_nothing_is_encrypted(key: Jwk, alg: str | None) -> None:
    with pytest.raises(RegistrationInvalidError, match="secret or a private key"):
        _register(replace(RSA_OAEP, id_token_encrypted_response_alg=alg, jwks={"keys": [RSA, key]}))


def test_of_a_jwk_set_only_what_encryption_needs_is_stored() -> None:
    rest = {"x5c": ["AAAA"], "x5t": "AAAA", "secret": "c2VjcmV0", "ext": True, "key_ops": ["encrypt"]}

    client = _register(replace(RSA_OAEP, jwks={"keys": [RSA | rest], "version": 2}))

    assert client.jwks == {"keys": [RSA | {"key_ops": ["encrypt"]}]}


@pytest.mark.parametrize("alg", ["RSA-OAEP", None])
def test_keys_may_be_at_a_uri_which_is_checked_as_every_other(alg: str | None) -> None:
    client = replace(RSA_OAEP, id_token_encrypted_response_alg=alg, jwks=None, jwks_uri=JWKS_URI)

    assert _register(client).jwks_uri == JWKS_URI
    for uri in ("http://wiki.example/jwks.json", "https://10.0.0.1/jwks.json", "https://wiki.example/#keys", "/jwks.json"):
        with pytest.raises(RegistrationInvalidError, match="jwks_uri must"):
            _register(replace(client, jwks_uri=uri))


def test_keys_may_be_in_a_private_network_that_is_allowed() -> None:
    uri = "http://10.1.2.3/jwks.json"
    client = replace(RSA_OAEP, jwks=None, jwks_uri=uri, allowed_networks=("10.1.0.0/16",))

    assert register(client, permit_private_networks=True).jwks_uri == uri


def test_a_client_that_wants_no_encryption_may_have_keys_that_are_for_none() -> None:
    keys = [public_jwk("P-256", use="sig"), public_jwk("RSA"), public_jwk("RSA", 1)]
    client = replace(WIKI, jwks={"keys": keys})

    assert _register(client) == client


def test_a_registration_can_be_repeated_as_it_is_shown() -> None:
    registered = _register(RSA_OAEP)

    assert _register(registered) == registered


MEMBERS = st.sampled_from(["kty", "crv", "use", "alg", "kid", "x", "y", "n", "e", "key_ops", "other", *sorted(PRIVATE_MEMBERS)])
VALUES = st.recursive(st.none() | st.booleans() | st.text(max_size=8), lambda each: st.lists(each, max_size=2), max_leaves=3)


@given(
    st.dictionaries(st.sampled_from(["keys", "other"]), st.lists(st.dictionaries(MEMBERS, VALUES) | VALUES, max_size=4) | VALUES)
)
def test_whatever_is_registered_no_private_member_is_stored(jwks: dict[str, Any]) -> None:
    try:
        client = _register(replace(WIKI, jwks=jwks))
    except RegistrationInvalidError:
        return

    assert client.jwks is not None
    assert client.jwks.keys() == {"keys"}
    for key in client.jwks["keys"]:
        assert not (PRIVATE_MEMBERS | {"other"}) & key.keys()


def _register(client: Client) -> Client:
    return register(client, permit_private_networks=False)
