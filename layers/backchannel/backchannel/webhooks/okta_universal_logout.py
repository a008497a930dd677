"""Okta's Universal Logout: Global Token Revocation (draft-parecki-oauth-global-token-revocation) with a JWT as bearer token.

The JWT says of which application a user is to be logged out; the body, which it does not bind, says who.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import CallerError, IssuerMismatchError, MalformedRequestError, SignatureInvalidError, SubjectUnknownError
from backchannel.reasons import Reason
from backchannel.sessions.events import EARLIEST, SubjectSessionsEnded, identifier, subject
from backchannel.webhooks import jwt_claims
from backchannel.webhooks.format import JWKS, Format
from backchannel.webhooks.request import Context, Parsed, Proven, Request, Trust, is_numeric_date, json_object, member

_TYP = re.compile(r"(application/)?global-token-revocation\+jwt", re.IGNORECASE)

MAX_LIFE = 600
"""Seconds: twice what Okta gives its tokens, which do not bind the body."""

_REST_OF_SECOND = 999
"""Milliseconds."""


def verify(request: Request, trust: Trust, now: int) -> Proven:
    """Return the claims of the sender's token, with ``sub_id`` of the body.

    Raises:
        SignatureInvalidError: no token, another key has signed it, it is for somebody else, of another kind, or has expired.
        MalformedRequestError: the sender is proven, but the body is no JSON object.

    """
    claims = jwt_claims.claims_of(jwt_claims.bearer_token(request), trust, now, typ=_TYP, max_life=MAX_LIFE)
    try:
        event_id = identifier("jti", claims.get("jti"))
    except CallerError as error:
        raise SignatureInvalidError("jti is missing or no id") from error
    document = {**claims, "sub_id": json_object(request.body).get("sub_id")}
    return Proven(json.dumps(document).encode(), event_id)


def parse(proven: Proven, context: Context) -> Parsed:
    """Read a request: who is to be logged out of the application that the token names, or of all.

    Raises:
        SubjectUnknownError: the user is named by an address, and addresses are not what users are known by.
        CallerError: it does not say who, or of which application.

    """
    document = json_object(proven.body)
    user = _user(member(document, "sub_id", dict), context)
    client_id = identifier("client_id", document.get("sub"))
    event_id = identifier("jti", document.get("jti") if proven.event_id is None else proven.event_id)
    end = SubjectSessionsEnded(
        user,
        _time(document, context.now),
        event_id,
        client_id if context.ends_at == "client" else None,
        Reason.SESSION_REVOKED,
    )
    return Parsed((end,))


def _user(sub_id: Mapping[str, Any], context: Context) -> str:
    match sub_id.get("format"):
        case "iss_sub":
            if member(sub_id, "iss", str) not in {context.issuer, context.token_issuer}:
                raise IssuerMismatchError("sub_id.iss is neither the issuer of this provider nor that of the tokens")
            return subject(sub_id.get("sub"))
        case "email":
            if not context.email_is_sub:
                raise SubjectUnknownError("sub_id is an e-mail address, and the source does not say that a sub is one")
            return subject(sub_id.get("email"))
    raise MalformedRequestError("sub_id must have the format iss_sub or email")


def _time(claims: Mapping[str, Any], now: int) -> int:
    """Return when the token was issued, in milliseconds: the end covers all of that second. Without ``iat``, it is now."""
    issued = claims.get("iat")
    if not is_numeric_date(issued) or issued * 1000 < EARLIEST:
        return now
    return min(int(issued * 1000) + _REST_OF_SECOND, now)


FORMAT = Format(
    verify=verify,
    parse=parse,
    check_secret=None,
    success=HTTPStatus.NO_CONTENT,
    settings=JWKS | {"audience", "token_issuer", "email_is_sub", "ends_at"},
    required=frozenset({"audience"}),
    event_id_is_beside=True,
)
