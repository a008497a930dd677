"""Bad tokens that the issuer signed, with a claim that has to make them useless."""

from typing import Any

from backchannel_cli.receiver_check.case import (
    AUDIENCE,
    EVENT_VALUE,
    EXP,
    EXPIRY,
    IAT,
    ISSUED_AT,
    ISSUER,
    JTI,
    STEP_4,
    STEP_5,
    STEP_6,
    STEP_7,
    Case,
    Words,
)
from backchannel_cli.receiver_check.tokens import EVENT, LIFETIME_S, Mint

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S


def _case(name: str, words: Words, otherwise: str, *, is_required: bool = True, **changes: Any) -> Case:
    return Case(name, lambda mint: mint.token(**changes), words, otherwise, is_required=is_required)


def _shifted(mint: Mint, seconds: int) -> str:
    issued_at = int(mint.clock()) + seconds
    return mint.token(iat=issued_at, exp=issued_at + LIFETIME_S)


def _issued_a_day_ago(mint: Mint) -> str:
    return mint.token(iat=int(mint.clock()) - _DAY_S)


CLAIM_CASES = (
    Case(
        "other-iss",
        lambda mint: mint.token(iss=mint.issuer + "INVALID"),
        ISSUER,
        "iss is not checked: another issuer's tokens pass.",
    ),
    _case("no-iss", STEP_4, "iss is not checked: a token without it passes.", iss=None),
    Case(
        "other-aud",
        lambda mint: mint.token(aud=mint.client_id + "INVALID"),
        AUDIENCE,
        "aud is not checked: a token for another client passes, so every client of the issuer can log users out here.",
    ),
    _case("no-aud", AUDIENCE, "aud is not checked: a token without it passes.", aud=None),
    Case(
        "more-aud",
        lambda mint: mint.token(aud=[mint.client_id, "somebody-else"]),
        AUDIENCE,
        "A second audience passes. That is right only if the relying party trusts it.",
        is_required=False,
    ),
    Case(
        "expired",
        lambda mint: _shifted(mint, -_HOUR_S),
        EXPIRY,
        "exp is not checked: a token that was stolen once passes for ever.",
    ),
    _case("no-exp", EXP, "exp may be missing: a token without it passes for ever, for whoever has seen it.", exp=None),
    _case("no-iat", IAT, "iat may be missing: nobody can tell when such a token was made.", iat=None),
    Case(
        "iat-in-the-future",
        lambda mint: _shifted(mint, _DAY_S),
        ISSUED_AT,
        "iat a day in the future passes: nothing bounds how long in advance a token can be made.",
        is_required=False,
    ),
    Case("iat-a-day-ago", _issued_a_day_ago, ISSUED_AT, "iat a day ago passes, as long as exp is ahead.", is_required=False),
    _case("no-events", STEP_6, "events is not checked: any token of the issuer for this client is a logout token.", events=None),
    _case(
        "other-event",
        STEP_6,
        "events is not looked into: a token about something else is a logout token.",
        events={"http://schemas.openid.net/event/something-else": {}},
    ),
    _case("events-no-object", STEP_6, "events is not checked: it passes as a list.", events=[EVENT]),
    _case(
        "event-no-object",
        EVENT_VALUE,
        "The value of the event is not looked at: it passes as a string.",
        is_required=False,
        events={EVENT: "yes"},
    ),
    _case(
        "nonce",
        STEP_7,
        "nonce is not refused: what keeps ID tokens and logout tokens apart is not there.",
        nonce="receiver-check",
    ),
    Case(
        "id-token",
        lambda mint: mint.id_token(nonce="receiver-check"),
        STEP_6,
        "An ID token is taken for a logout token: whoever sees a user's ID token can log the user out.",
    ),
    _case("no-sub-no-sid", STEP_5, "A token that names nobody passes: nobody can have been logged out.", sub=None, sid=None),
    _case("no-jti", JTI, "jti may be missing: a replay of such a token cannot be noticed.", is_required=False, jti=None),
)
