"""Transmitters of Security Event Tokens."""

from backchannel.webhooks.request import Request
from tests.support.mutations import AT
from tests.support.sender import AUDIENCE, ISSUER, Json, Sender, samples, token


def _pushed(claims: Json) -> Request:
    return Request(token(claims, "secevent+jwt").encode(), {"content-type": "application/secevent+jwt"})


_SETS: tuple[Json, ...] = tuple(
    {**{name: each for name, each in claims.items() if name != "exp"}, "iss": ISSUER, "aud": AUDIENCE, "iat": AT // 1000}
    for pattern in ("set-*.json", "authentik-set-*.json", "okta-set-*.json")
    for sample in samples(pattern)
    for claims in [sample.get("claims", sample)]
)

SENDERS_SET: tuple[Sender, ...] = (Sender("security-event-token", (), _SETS, _pushed),)
