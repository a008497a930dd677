"""Subject Identifiers (RFC 9493) and the complex subjects of SSF 1.0 (section 3): whom they name here.

An identifier names a user or a session of this provider, or nobody that could be found. Nothing is guessed: an identifier that
is not the ``sub`` or the ``sid`` of ID tokens names nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.webhooks.request import Context

_COMPLEX = "complex"
_OF_ONE_SESSION = frozenset({"session", "user", "tenant", "device", "org_unit", "group"})
"""The members of a complex subject that narrow nothing where ``session`` is among them: they describe the same session."""

_OF_ONE_USER = frozenset({"user", "tenant"})
_ISSUED = frozenset({"iss_sub", "id_token_claims"})
"""The formats that name a user by issuer and ``sub``; the second is that of drafts."""

EVERY_SESSION = "ALL"
"""The session id by which Keycloak means all sessions of a user."""


@dataclass(frozen=True, slots=True)
class NamedSubject:
    """Whom a subject names: a user by the ``sub`` of ID tokens, a session by its id, both, or nobody.

    ``opaque`` is the id of a simple opaque subject, which its event says how to read. ``is_every_session``: all sessions of the
    user are named. ``is_narrowed``: beside both, it names more, such as a device.
    """

    user: str | None = None
    session: str | None = None
    opaque: str | None = None
    is_every_session: bool = False
    is_narrowed: bool = False


NOBODY = NamedSubject()


def named_subject(subject: object, context: Context) -> NamedSubject:
    """Return whom a subject names.

    Raises:
        MalformedRequestError: it is no subject, or lacks a member that its format requires.

    """
    identifier = _identifier(subject)
    if _format(identifier) == _COMPLEX:
        return _complex(identifier, context)
    if _format(identifier) == "aliases":
        return _aliases(identifier, context)
    return _simple(identifier, context)


def _identifier(subject: object) -> Mapping[str, Any]:
    if not isinstance(subject, dict):
        raise MalformedRequestError("a subject is no JSON object")
    return subject


def _format(identifier: Mapping[str, Any]) -> str:
    """Return the name of a format; drafts of SSF left it out where a subject is complex."""
    given = identifier.get("format", identifier.get("subject_type"))
    if given is None and any(isinstance(each, dict) for each in identifier.values()):
        return _COMPLEX
    if not isinstance(given, str):
        raise MalformedRequestError("a subject has no format")
    return given.replace("-", "_")


def _simple(identifier: Mapping[str, Any], context: Context) -> NamedSubject:
    """Return whom a simple subject names. Formats that name neither ``sub`` nor ``sid`` of ID tokens name nobody here."""
    kind = _format(identifier)
    if kind in _ISSUED:
        iss, sub = _text(identifier, "iss"), _text(identifier, "sub")
        return NamedSubject(user=sub) if _is_ours(iss, context) else NOBODY
    if kind == "email":
        email = _text(identifier, "email")
        return NamedSubject(user=email) if context.email_is_sub and email else NOBODY
    if kind == "opaque":
        return NamedSubject(opaque=_text(identifier, "id"))
    return NOBODY


def _aliases(identifier: Mapping[str, Any], context: Context) -> NamedSubject:
    """Return whom all identifiers name that name somebody. Where they do not agree, nobody can say who is meant."""
    identifiers = identifier.get("identifiers")
    if not isinstance(identifiers, list) or not identifiers:
        raise MalformedRequestError("identifiers of aliases is missing, or no list")
    simple = [each for each in map(_identifier, identifiers) if _format(each) not in {"aliases", _COMPLEX}]
    return _agreed(_simple(each, context) for each in simple)


def _agreed(found: Iterable[NamedSubject]) -> NamedSubject:
    different = {each for each in found if each != NOBODY}
    return different.pop() if len(different) == 1 else NOBODY


def _complex(identifier: Mapping[str, Any], context: Context) -> NamedSubject:
    """Return whom a complex subject names: what all of its members describe, so each of them may make it narrower.

    A user with a device is not all that the user has. A user of another issuer has no session here.
    """
    members = {name: each for name, each in identifier.items() if name not in {"format", "subject_type"}}
    user = _user(members["user"], context) if "user" in members else NOBODY
    session = _session(members["session"]) if "session" in members else None
    if user is None:
        return NOBODY
    if session == EVERY_SESSION:
        del members["session"]
    covered = _OF_ONE_SESSION if "session" in members and session is not None else _OF_ONE_USER
    if not members.keys() <= covered and not context.widen_subjects:
        return NOBODY
    if session == EVERY_SESSION:
        return NamedSubject(user=user.user, is_every_session=True)
    is_narrowed = None not in {user.user, session} and not members.keys() <= {*_OF_ONE_USER, "session"}
    return NamedSubject(user=user.user, session=session, is_narrowed=is_narrowed)


def _user(subject: object, context: Context) -> NamedSubject | None:
    """Return the user of a complex subject, None if he is another issuer's."""
    identifier = _identifier(subject)
    kind = _format(identifier)
    if kind == _COMPLEX:
        return NOBODY
    if kind == "aliases":
        return _aliases(identifier, context)
    if kind in _ISSUED and not _is_ours(_text(identifier, "iss"), context):
        return None
    return _simple(identifier, context)


def _session(subject: object) -> str | None:
    identifier = _identifier(subject)
    return _text(identifier, "id") if _format(identifier) == "opaque" else None


def _is_ours(iss: str, context: Context) -> bool:
    """Whether a ``sub`` is one of this provider's. A ``sub`` of another issuer is another person."""
    return iss in {context.issuer, *context.subject_issuers}


def _text(identifier: Mapping[str, Any], name: str) -> str:
    value = identifier.get(name)
    if not isinstance(value, str):
        raise MalformedRequestError(f"{name} of a subject is missing, or no text")
    return value
