"""The tokens of a check, good and bad: made by hand, since a JOSE library refuses most of the bad ones."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwcrypto.jwk import JWK
from jwcrypto.jws import JWSCore

from backchannel_cli.receiver_check.keys import ThrowAwayKeys, kid

Json = dict[str, Any]

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LIFETIME_S = 120
"""Section 4 of Back-Channel Logout: at most two minutes."""
BACKDATED_S = 2
"""Some relying parties have no leeway for a clock that is behind the issuer's."""


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes tokens for one relying party; ``user`` holds the ``sub``, the ``sid``, or both, of whom they are about.

    A claim or a header parameter given as None is left out.
    """

    issuer: str
    client_id: str
    user: Mapping[str, str]
    keys: ThrowAwayKeys
    clock: Callable[[], float]
    new_jti: Callable[[], str]
    _made_once: dict[str, str] = field(default_factory=dict)

    def claims(self, **changes: Any) -> Json:
        now = int(self.clock())
        good = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now - BACKDATED_S,
            "exp": now - BACKDATED_S + LIFETIME_S,
            "jti": self.new_jti(),
            "events": {EVENT: {}},
            **self.user,
        }
        return _without_none(good | changes)

    def header(self, **changes: Any) -> Json:
        good = {"alg": self.keys.alg, "typ": "logout+jwt", "kid": kid(self.keys.signing)}
        return _without_none(good | changes)

    def token(self, **changes: Any) -> str:
        """Sign claims with the issuer's key."""
        return signed(self.header(), self.claims(**changes), self.keys.signing)

    def headed(self, key: JWK | None = None, **changes: Any) -> str:
        """Sign good claims under a header with changes, with the issuer's key if no other is given."""
        return signed(self.header(**changes), self.claims(), key or self.keys.signing)

    def once(self) -> str:
        """Return one good token, the same every time."""
        return self._made_once.setdefault("good", self.token())

    def altered(self) -> str:
        """Change what a token says after it was signed."""
        head, _, signature = self.token().split(".")
        return f"{head}.{_part(self.claims())}.{signature}"

    def unsigned(self, alg: str) -> str:
        return f"{_part(self.header(alg=alg, kid=None))}.{_part(self.claims())}."

    def signature_removed(self) -> str:
        return self.token().rpartition(".")[0] + "."

    def by_public_key(self) -> str:
        """Sign with HMAC, whose secret is the issuer's public key: everybody has it."""
        pem: bytes = self.keys.signing.export_to_pem()
        signing_input = f"{_part(self.header(alg='HS256'))}.{_part(self.claims())}"
        return f"{signing_input}.{_encoded(hmac.digest(pem, signing_input.encode('ascii'), hashlib.sha256))}"

    def id_token(self, **more: Any) -> str:
        """Make what a login at the issuer brings to the relying party, and to its user's browser."""
        now = int(self.clock())
        user = {"sub": "somebody"} | dict(self.user)
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 3600, "auth_time": now, **user, **more}
        return signed(self.header(typ="JWT"), claims, self.keys.signing)


def signed(header: Json, claims: Json, key: JWK) -> str:
    """Return a JWS in compact form, signed as its header says; nothing is checked."""
    parts = JWSCore(header["alg"], key, json.dumps(header), json.dumps(claims)).sign()
    return ".".join((str(parts["protected"]), _part(claims), str(parts["signature"])))


def _without_none(members: Mapping[str, Any]) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _part(members: Json) -> str:
    return _encoded(json.dumps(members).encode())


def _encoded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
