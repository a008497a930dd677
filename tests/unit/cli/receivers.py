"""What the tests of the receiver check share: a mint whose clock stands, and keys that are made once."""

from functools import cache
from itertools import count

from backchannel_cli.receiver_check.keys import ThrowAwayKeys
from backchannel_cli.receiver_check.tokens import Mint

NOW = 1_800_000_000
ISSUER = "http://127.0.0.1:9400"
CLIENT_ID = "receiver-check"
USER = {"sub": "user-1", "sid": "session"}


_made_once = cache(ThrowAwayKeys.make)


def keys(alg: str = "RS256") -> ThrowAwayKeys:
    return _made_once(alg)


def mint(alg: str = "RS256", user: dict[str, str] | None = None) -> Mint:
    numbers = count()
    return Mint(ISSUER, CLIENT_ID, USER if user is None else user, keys(alg), lambda: NOW + 0.5, lambda: f"jti-{next(numbers)}")
