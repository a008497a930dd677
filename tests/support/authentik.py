"""An imitation of authentik, as far as its expressions see it: the evaluator, the models that they import, the webhook transport.

Read in authentik's source: an expression is the body of a function whose parameters are the context, run with a few functions as
globals. A transport evaluates the body mapping, then the header mapping, and posts the body as the requests library writes JSON.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import indent
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

type Json = dict[str, Any]
type Sign = Callable[[Json], str]

_HIDDEN = re.compile("API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE", re.IGNORECASE)
_ARGUMENT = re.compile("[:.-]")
ANONYMOUS: Json = {"pk": 2, "email": "", "username": "AnonymousUser", "is_anonymous": True}


class User:
    """A row, or as in ``User(pk=42)`` merely its key."""

    objects: Any = None

    def __init__(self, pk: int) -> None:
        self.pk = self.id = pk

    @property
    def uid(self) -> str:
        return hashlib.sha256(f"{self.id}-an-installation".encode("ascii")).hexdigest()


@dataclass(frozen=True)
class Event:
    """An event as mappings and policies see it."""

    action: str
    user: Json
    context: Json
    event_uuid: UUID = field(default_factory=uuid4)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def event_of(sample: Mapping[str, Any], **changed: Any) -> Event:
    """Return a sample of the REST API as the object behind it, as if it happened now."""
    return Event(**{**{name: sample[name] for name in ("action", "user", "context")}, **changed})


@dataclass(frozen=True)
class Notification:
    event: Event
    user: User = field(default_factory=lambda: User(pk=7))


class AccessToken:
    """The token that is being issued while scope mappings are evaluated."""

    def __init__(self, session_key: str | None) -> None:
        session = SimpleNamespace(session=SimpleNamespace(session_key=session_key))
        self.session = None if session_key is None else session


class RefreshToken(AccessToken):
    """Scope mappings are evaluated for it, too."""


class PolicyRequest:
    def __init__(self, http_request: object = None, **context: Any) -> None:
        self.http_request = http_request
        self.context = context


@dataclass
class Authentik:
    """An installation: its expressions by name, its users' keys and whether they are active, and the key of its JWTs.

    ``sign`` signs claims with the key of the provider ``client_id``. ``created`` are the events that expressions have made.
    """

    expressions: Mapping[str, str]
    client_id: str
    sign: Sign
    users: dict[int, bool] = field(default_factory=dict)
    created: list[Event] = field(default_factory=list)

    def webhook(self, notification: Notification, body: str, headers: str | None) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of what a transport with these mappings posts."""
        document = sanitized(self.mapping(body).evaluate(user=notification.user, request=None, notification=notification))
        own: dict[str, str] = {}
        if headers is not None:
            own = sanitized(self.mapping(headers).evaluate(user=notification.user, request=None, notification=notification))
        return _json_of_requests(document), {"Content-Type": "application/json", **own}

    def matches(self, policy: str, event: Event) -> bool:
        """Return whether an expression policy that is bound to a notification rule lets an event pass."""
        found = self._evaluate(policy, {"request": PolicyRequest(event=event)})
        assert isinstance(found, bool)
        return found

    def claims(self, mapping: str, user: User, client_id: str, token: AccessToken, **form: str) -> Json:
        """Return what a scope mapping makes of a request at the token endpoint."""
        request = PolicyRequest(SimpleNamespace(POST=form))
        context = {"user": user, "request": request, "provider": SimpleNamespace(client_id=client_id), "token": token}
        found: Json = self._evaluate(mapping, context)
        return found

    def mapping(self, name: str) -> Any:
        """Return a webhook mapping as the ORM does."""

        def evaluate(*, user: User, request: object, **context: Any) -> Any:
            return self._evaluate(name, {"user": user, "request": PolicyRequest(request, **context), **context})

        return SimpleNamespace(evaluate=evaluate)

    def _evaluate(self, name: str, context: Json) -> Any:
        arguments = ",".join(_ARGUMENT.sub("_", each) for each in context)
        body = indent(self.expressions[name], "    ")
        source = f"def handler({arguments}):\n{body}\nresult = handler({arguments})"
        scope = dict(context)
        with self._modules():
            exec(compile(source, name, "exec"), self._globals(context), scope)  # noqa: S102 - our own documents
        return scope["result"]

    def _globals(self, context: Json) -> Json:
        def ak_create_jwt_raw(provider: str, validity: str = "seconds=60", **claims: Any) -> str:
            assert provider == self.client_id
            unit, _, number = validity.partition("=")
            lives = int(number) * {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
            return self.sign({**claims, "exp": int(time.time()) + lives, "aud": self.client_id})

        def ak_create_event(action: str, **members: Any) -> None:
            kept = {name: value for name, value in {**context, **members}.items() if isinstance(value, str)}
            hidden = {name: "********************" for name in kept if _HIDDEN.search(name)}
            self.created.append(Event(f"custom_{action}", ANONYMOUS, {**kept, **hidden}))

        return {"ak_create_jwt_raw": ak_create_jwt_raw, "ak_create_event": ak_create_event}

    @contextmanager
    def _modules(self) -> Iterator[None]:
        """Let expressions import what they import within authentik."""

        def users_with(**filters: Any) -> Any:
            found = self.users.get(filters["pk"])
            return SimpleNamespace(exists=lambda: found is not None and found is filters.get("is_active", found))

        members: dict[str, Json] = {
            "authentik.core.models": {"User": type("User", (User,), {"objects": SimpleNamespace(filter=users_with)})},
            "authentik.events.models": {"NotificationWebhookMapping": SimpleNamespace(objects=SimpleNamespace(get=self.mapping))},
            "authentik.events.utils": {"sanitize_item": sanitized},
            "authentik.providers.oauth2.id_token": {"hash_session_key": hash_session_key},
            "requests": {"Request": _Request},
        }
        modules: dict[str, ModuleType] = {}
        for name, found in members.items():
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                parent = ".".join(parts[:length])
                modules.setdefault(parent, ModuleType(parent))
            vars(modules[name]).update(found)
        with patch.dict("sys.modules", modules):
            yield


class _Request:
    """Of the requests library: as much as shows what it would send."""

    def __init__(self, method: str, url: str, json: Any) -> None:
        assert (method, url) is not None
        self._json = json

    def prepare(self) -> Any:
        return SimpleNamespace(body=_json_of_requests(self._json))


def hash_session_key(session_key: str) -> str:
    """Return the ``sid`` of authentik's ID tokens."""
    return hashlib.sha256(session_key.encode("ascii")).hexdigest()


def sanitized(value: Any) -> Any:
    """Return what a mapping has returned as it can be sent."""
    match value:
        case dict():
            return {name: sanitized(each) for name, each in value.items()}
        case list() | tuple():
            return [sanitized(each) for each in value]
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case UUID():
            return value.hex
        case _:
            return value


def _json_of_requests(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False).encode()
