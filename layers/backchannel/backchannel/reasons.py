"""Why sessions end: the words that decide something. What any sender says is read as one of them."""

from enum import StrEnum
from typing import Literal, Self, get_args


class Reason(StrEnum):
    """Why a session, or all sessions of a subject, ended."""

    LOGOUT = "logout"
    EXPIRED = "expired"
    CREDENTIAL_CHANGED = "credential_changed"
    ADMIN_LOGOUT = "admin_logout"
    SESSION_REVOKED = "session_revoked"
    USER_DISABLED = "user_disabled"
    USER_DELETED = "user_deleted"
    COMPROMISED = "compromised"

    @classmethod
    def read(cls, word: str | None) -> Self | None:
        """Return the reason that a word is, whatever its case: a mere logout if it is none of ours, None if there is no word."""
        plain = "" if word is None else word.strip().casefold()
        if not plain:
            return None
        return cls(plain if plain in cls else _OTHERS.get(plain, "logout"))

    @classmethod
    def is_known(cls, word: str) -> bool:
        """Whether a word is one of ours, whatever its case."""
        plain = word.strip().casefold()
        return plain in cls or plain in _OTHERS


type Cause = Literal["consent_revoked", "token_revoked", "credential_change_required"]
"""What some ends come from that their reason does not tell: what a client was allowed to do is over, or a user has to change a
credential, and may not have done so."""

CAUSES: tuple[Cause, ...] = get_args(Cause.__value__)

POLICIES: tuple[Reason | Cause, ...] = (*Reason, *CAUSES)
"""The words by which a source says which ends end sessions."""

_OTHERS: dict[str, str] = {
    **dict.fromkeys(CAUSES, "logout"),
    "credential_change_required": "credential_changed",
    "model_deleted": "user_deleted",  # an authentik event's action
    "password_set": "credential_changed",  # an authentik event's action
    "destroy": "logout",  # PingAM's WebhookEventType
    "idle_timeout": "expired",  # PingAM's WebhookEventType
    "max_timeout": "expired",  # PingAM's WebhookEventType
}
"""Words that others use."""


EMERGENCIES = frozenset(Reason) - {Reason.LOGOUT, Reason.EXPIRED}
"""Reasons for which an older session has to end even if that costs the user a newer login: it may be an attacker's."""


def is_emergency(reason: Reason | None) -> bool:
    """Whether an end has to reach older sessions even if that costs the user a newer login."""
    return reason in EMERGENCIES


def cause(word: str) -> Cause | None:
    """Return the cause that a word is, whatever its case."""
    plain = word.strip().casefold()
    return next((each for each in CAUSES if each == plain), None)
