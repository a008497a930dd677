"""Checks of how a client wants its tokens encrypted, and of the keys that it registers (Dynamic Registration, section 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backchannel.errors import EncryptionKeyUnavailable, RegistrationInvalidError
from backchannel.providers.uris import refuse
from backchannel.tokens.encryption_keys import KEY_TYPES, choose
from backchannel.tokens.jwe import ENCS, recipient
from backchannel.tokens.jwks import PRIVATE_MEMBERS

if TYPE_CHECKING:
    from backchannel.providers.clients import Client

DEFAULT_ENC = "A128CBC-HS256"

MAX_KEYS = 16
MAX_JWKS = 16_384
"""Characters of a client's ``jwks``: a page of a hundred clients, each with keys and a CA bundle, fits into an answer."""

_STRINGS = ("kty", "use", "alg", "kid", "crv", "x", "y", "n", "e")
"""What is kept of a key, beside ``key_ops``: all that encryption needs. What else there is may be private, and is not stored."""

_ALG, _ENC = "id_token_encrypted_response_alg", "id_token_encrypted_response_enc"


def check_encryption(client: Client) -> Client:
    """Return a client with the default ``enc``, and of its keys what is public.

    Raises:
        RegistrationInvalidError: it could not be sent encrypted tokens, or it registers a private key.

    """
    if client.jwks is not None and client.jwks_uri is not None:
        refuse("jwks and jwks_uri must not be given together")
    jwks = None if client.jwks is None else _public(client.jwks)
    alg, enc = client.id_token_encrypted_response_alg, client.id_token_encrypted_response_enc
    if alg is None:
        if enc is not None:
            refuse(f"{_ENC} needs {_ALG}: a client without encryption has neither (a PATCH that removes one gives null for both)")
        return replace(client, jwks=jwks)
    _check_algorithm(alg)
    enc = enc or DEFAULT_ENC
    if enc not in ENCS:
        refuse(f"{_ENC} must be one of {', '.join(ENCS)}")
    if jwks is None and client.jwks_uri is None:
        refuse(f"{_ALG} needs the client's keys: jwks or jwks_uri")
    if jwks is not None:
        _check_key(jwks, alg, enc)
    return replace(client, id_token_encrypted_response_enc=enc, jwks=jwks)


def _check_algorithm(alg: str) -> None:
    if alg in KEY_TYPES:
        return
    known = ", ".join(KEY_TYPES)
    if alg == "RSA1_5":
        refuse(f"{_ALG} RSA1_5: its padding has made many an RP tell what is encrypted (RFC 8725, 3.2); use {known}")
    if alg == "dir" or alg.startswith(("A128", "A192", "A256", "PBES2")):
        refuse(f"{_ALG} {alg[:32]}: it encrypts with the client's secret, which this service does not have; use {known}")
    refuse(f"{_ALG} must be one of {known}")


def _check_key(jwks: Mapping[str, Any], alg: str, enc: str) -> None:
    try:
        recipient(alg, enc, choose(jwks["keys"], alg))
    except EncryptionKeyUnavailable as error:
        raise RegistrationInvalidError(f"jwks: {error}") from error


def _public(jwks: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is public of a JWK Set.

    Raises:
        RegistrationInvalidError: it is none, or too large, or has a private or symmetric key. The message repeats none of it.

    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, Mapping) for key in keys):
        refuse("jwks must be a JWK Set: an object whose keys is an array of objects")
    if len(keys) > MAX_KEYS:
        refuse(f"jwks must have at most {MAX_KEYS} keys")
    public = {"keys": [_public_key(number, key) for number, key in enumerate(keys, 1)]}
    if len(json.dumps(public)) > MAX_JWKS:
        refuse(f"jwks must have at most {MAX_JWKS} characters")
    return public


def _public_key(number: int, key: Mapping[str, Any]) -> dict[str, Any]:
    if key.get("kty") == "oct" or not PRIVATE_MEMBERS.isdisjoint(key):
        refuse(
            f"key {number} of jwks is a secret or a private key: whoever has sent it must replace it, and give public ones here"
        )
    key_ops = key.get("key_ops", [])
    values = [key[name] for name in _STRINGS if name in key]
    if not isinstance(key_ops, list) or not all(isinstance(value, str) for value in [*values, *key_ops]):
        refuse(f"key {number} of jwks must have strings as its members, and an array of strings as its key_ops")
    return {name: key[name] for name in (*_STRINGS, "key_ops") if name in key}
