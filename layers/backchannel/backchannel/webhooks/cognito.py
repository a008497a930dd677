"""Amazon Cognito: CloudTrail's events of a user pool's API, as EventBridge sends them, and sign-ins from its trigger.

CloudTrail names a user by ``additionalEventData.sub`` alone. A call failed if its ``errorCode`` is not empty. Calls that an
access token authorizes name no pool, so the events of all pools of an account may come: those of other pools are ignored. There
is no session id anywhere that tokens carry, too.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backchannel.errors import IssuerMismatchError
from backchannel.reasons import POLICIES, Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded, event_time, identifier, subject
from backchannel.webhooks import aws_iam
from backchannel.webhooks.cognito_sign_ins import STARTS
from backchannel.webhooks.format import EVENTS, Format
from backchannel.webhooks.iso_times import end_time
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, json_object, member

_ISSUER = re.compile(r"https://cognito-idp\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([A-Za-z0-9_-]+)")

_CALL, _SERVICE_EVENT = "AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"

_ENDS: Mapping[str, Reason] = {
    "AdminUserGlobalSignOut": Reason.ADMIN_LOGOUT,
    "GlobalSignOut": Reason.LOGOUT,
    "AdminDisableUser": Reason.USER_DISABLED,
    "AdminDeleteUser": Reason.USER_DELETED,
    "DeleteUser": Reason.USER_DELETED,
    "AdminSetUserPassword": Reason.CREDENTIAL_CHANGED,
    "AdminResetUserPassword": Reason.CREDENTIAL_CHANGED,
    "ChangePassword": Reason.CREDENTIAL_CHANGED,
    "RevokeToken": Reason.LOGOUT,
}
"""The calls that end sessions; event-source.yaml lets through the same."""


def parse(proven: Proven, context: Context) -> Parsed:
    """Read one event; calls that end nothing, that failed, or that are of another pool are ignored.

    Raises:
        CallerError: the event does not say who, when or which pool, or the provider's issuer is that of no pool.

    """
    document = json_object(proven.body)
    pool = _ISSUER.fullmatch(context.issuer)
    if pool is None:
        raise IssuerMismatchError("the issuer of this provider is not that of a user pool")
    read = _sign_in if "triggerSource" in document else _call
    return read(document, pool[1], pool[2], context.now)


def _sign_in(document: Mapping[str, Any], region: str, pool: str, now: int) -> Parsed:
    """Read what the trigger says; without ``receivedAt``, it came just now."""
    if member(document, "triggerSource", str) not in STARTS:
        return IGNORED
    if (member(document, "region", str), member(document, "userPoolId", str)) != (region, pool):
        return IGNORED
    at = event_time(member(document, "receivedAt", int), now) if "receivedAt" in document else now
    attributes = member(member(document, "request", dict), "userAttributes", dict)
    client_id = identifier("client_id", member(document, "callerContext", dict).get("clientId"))
    return Parsed((RpSessionStarted(sub=subject(attributes.get("sub")), client_id=client_id, started_at=at),))


def _call(document: Mapping[str, Any], region: str, pool: str, now: int) -> Parsed:
    kind, detail = member(document, "detail-type", str), member(document, "detail", dict)
    if detail.get("eventSource") != "cognito-idp.amazonaws.com" or not _is_of(detail, region, pool):
        return IGNORED
    name = member(detail, "eventName", str)
    if kind == _SERVICE_EVENT and name == "Logout":
        return UNMAPPABLE  # of the managed login: it names a client and no user
    reason = _ENDS.get(name)
    if kind != _CALL or reason is None or detail.get("errorCode"):
        return IGNORED
    sub = _of(detail, "additionalEventData", "sub")
    is_token = name == "RevokeToken"
    client_id = _of(detail, "requestParameters", "clientId") if is_token else None
    if sub is None or (is_token and client_id is None):
        return UNMAPPABLE
    end = SubjectSessionsEnded(
        sub=subject(sub),
        ended_at=end_time("eventTime", detail, now),
        source_event_id=identifier("eventID", detail.get("eventID")),
        client_id=None if client_id is None else identifier("client_id", client_id),
        reason=reason,
        cause="token_revoked" if is_token else None,
    )
    return Parsed((end,))


def _is_of(detail: Mapping[str, Any], region: str, pool: str) -> bool:
    """Whether a call is of this pool, or names none."""
    named = _of(detail, "requestParameters", "userPoolId"), _of(detail, "additionalEventData", "userPoolId")
    return detail.get("awsRegion", region) == region and all(each is None or each == pool for each in named)


def _of(detail: Mapping[str, Any], name: str, inner: str) -> object:
    found = detail.get(name)
    return found.get(inner) if isinstance(found, dict) else None


FORMAT = Format(
    verify=aws_iam.refuse,
    parse=parse,
    check_secret=None,
    success=HTTPStatus.OK,
    settings=EVENTS,
    ends_sessions=frozenset(POLICIES) - {"token_revoked"},  # the end of a refresh token is not that of a session
    by_iam=True,
)
