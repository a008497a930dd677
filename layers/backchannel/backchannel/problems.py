"""Errors as problem documents (RFC 9457) with our stable ``code``, and the resolver that answers with them."""

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from backchannel.errors import CallerError, NotFoundError, OurFault
from backchannel.observability import logger

_RETRY_AFTER = 5
"""Seconds that a caller is asked to wait after a fault of ours."""


def problem(status: int, code: str, detail: str, **members: Any) -> Response[str]:
    """Return the problem document of an error."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return Response(
        status,
        content_type="application/problem+json",
        body=json.dumps({**document, **members}),
        headers={"Cache-Control": "no-store"},
    )


def answer_with_problems(app: APIGatewayRestResolver) -> None:
    """Have the resolver answer both branches of faults: the caller's with its status, ours with 503."""

    @app.exception_handler(CallerError)
    def _caller(error: CallerError) -> Response[str]:
        logger.info("request.refused", code=error.code, detail=str(error))
        return problem(error.status, error.code, str(error))

    @app.exception_handler(OurFault)
    def _ours(fault: OurFault) -> Response[str]:
        logger.error("request.failed", code=fault.code, detail=str(fault))
        response = problem(503, fault.code, "something on our side does not answer; nothing was lost, send it again")
        response.headers["Retry-After"] = str(_RETRY_AFTER)
        return response

    @app.not_found
    def _not_found(_: Exception) -> Response[str]:
        return problem(NotFoundError.status, NotFoundError.code, "no such resource")
