"""Errors as problem documents (RFC 9457) with our stable ``code``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from backchannel.errors import CallerError, InternalFailure
from backchannel.runtime.observability import logger

CONTENT_TYPE = "application/problem+json"

_RETRY_AFTER = 5
"""Seconds that a caller is asked to wait after an internal failure."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A response that says what is wrong; ``headers`` has all headers but the content type."""

    status: int
    body: str
    headers: dict[str, str]


def problem(status: int, code: str, detail: str, **members: Any) -> Problem:
    """Return the problem document of a code."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return Problem(status, json.dumps({**document, **members}), {"Cache-Control": "no-store"})


def place(error: Mapping[str, Any]) -> str:
    """Return where pydantic found an error; a member that is not ours goes by ``*``: its name may be a secret."""
    known = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    return "/".join([str(part) for part in known] + ["*"] * (len(error["loc"]) - len(known)))


def problem_of(error: CallerError | InternalFailure) -> Problem:
    """Log an error and return its response: the status of a caller's error, 503 for an internal failure."""
    if isinstance(error, CallerError):
        logger.info("request.refused", code=error.code, detail=str(error))
        return problem(error.status, error.code, error.shown or str(error))
    logger.error("request.failed", code=error.code, detail=str(error))
    answer = problem(503, error.code, error.shown or str(error))
    return Problem(answer.status, answer.body, {**answer.headers, "Retry-After": str(_RETRY_AFTER)})
