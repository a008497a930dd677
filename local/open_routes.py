"""The routes that need no SigV4, as docs/openapi.json describes them. They are served without Powertools' validation."""

from typing import Any

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
_OBJECT = {"application/json": {"schema": {"type": "object"}}}


def _name(name: str) -> dict[str, Any]:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "maxLength": 64}}


def _header(name: str) -> dict[str, Any]:
    return {
        "in": "header",
        "name": name,
        "required": False,
        "schema": {"type": "string"},
        "description": "standard-webhooks, clerk",
    }


def _responses(*statuses: tuple[int, str, dict[str, Any] | None], refused: dict[int, str]) -> dict[str, Any]:
    return {
        **{str(status): {"description": what, **({"content": content} if content else {})} for status, what, content in statuses},
        **{str(status): {"description": what, "content": _PROBLEM} for status, what in refused.items()},
    }


_COUNTS = {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookTaken"}}}
_REFUSED_WEBHOOK = {
    400: "The body, or what it says, is not valid. A logout token is answered with a JSON error, a Security Event Token with err",
    401: "The sender did not prove itself",
    413: "The body is too large",
    415: "The body is compressed",
    503: "Nothing is lost if it is sent again",
}
_MISSING = {404: "There is no such provider, or no such document", 503: "The provider's own documents are not to be had"}


def _document(summary: str, description: str) -> dict[str, Any]:
    """Return the GET and the HEAD of a document that relying parties read."""
    answers = (200, "OK"), (304, "Not Modified")
    get = [(status, what, _OBJECT if status == 200 else None) for status, what in answers]  # noqa: PLR2004
    head = [(status, what, None) for status, what in answers]
    return {
        "get": {"summary": summary, "description": description, "responses": _responses(*get, refused=_MISSING)},
        "head": {
            "summary": f"{summary} (headers)",
            "description": "As GET, without the body.",
            "responses": _responses(*head, refused={})
            | {str(status): {"description": what} for status, what in _MISSING.items()},
        },
    }


PATHS: dict[str, dict[str, Any]] = {
    "/webhooks/{provider}/{source}": {
        "post": {
            "summary": "Send a webhook",
            "description": "An identity provider's event, in the format of the source, and proven as that format says: by a"
            " signature, a header or a signed token. docs/providers/index.md has each format.",
            "parameters": [_header(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {}},
                    "application/x-www-form-urlencoded": {
                        "schema": {
                            "type": "object",
                            "required": ["logout_token"],
                            "properties": {"logout_token": {"type": "string"}},
                        }
                    },
                    "application/secevent+jwt": {"schema": {"type": "string"}},
                },
            },
            "responses": _responses(
                (200, "What was taken, for formats whose senders want this status", _COUNTS),
                (202, "What was taken", _COUNTS),
                (204, "Taken (okta-universal-logout)", None),
                refused=_REFUSED_WEBHOOK,
            ),
        },
        "get": {
            "summary": "Ask whether this is the address of a receiver",
            "description": "The handshake of formats that have one (okta): the answer repeats the sender's question.",
            "responses": _responses((200, "The sender's question", _OBJECT), refused=_REFUSED_WEBHOOK),
        },
    },
    "/providers/{provider}/jwks.json": _document(
        "Read the keys that verify logout tokens", "The provider's own keys and those of this service, as a JWK Set."
    ),
    "/providers/{provider}/.well-known/openid-configuration": _document(
        "Read the provider's discovery document",
        "The provider's own document with the JWKS of this service, and with what announces back-channel logout.",
    ),
}

SCHEMAS: dict[str, Any] = {
    "WebhookTaken": {
        "title": "WebhookTaken",
        "type": "object",
        "description": "How many events were starts or ends, or caused nothing, and which entries of a batch were refused.",
        "required": ["started", "ended", "ignored"],
        "properties": {
            **{name: {"type": "integer"} for name in ("started", "ended", "ignored")},
            "refused": {"type": "array", "items": {"type": "object"}},
        },
    }
}


def described() -> dict[str, dict[str, Any]]:
    """Return the paths, each with its parameters, open to everybody."""
    return {
        path: {method: {**operation, **_open(path, operation)} for method, operation in methods.items()}
        for path, methods in PATHS.items()
    }


def _open(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    names = [_name(name) for name in ("provider", "source") if f"{{{name}}}" in path]
    return {"parameters": [*names, *operation.get("parameters", [])], "security": []}
