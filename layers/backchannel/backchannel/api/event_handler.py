"""Powertools' event handler, answering faults with problem documents."""

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from backchannel.api.problems import CONTENT_TYPE, Problem, problem, problem_of
from backchannel.errors import CallerError, InternalFailure, NotFoundError


def answer_with_problems(app: APIGatewayRestResolver) -> None:
    """Have the resolver answer faults, and paths that it does not know."""

    @app.exception_handler([CallerError, InternalFailure])
    def _fault(fault: CallerError | InternalFailure) -> Response[str]:
        return response(problem_of(fault))

    @app.not_found
    def _not_found(_: Exception) -> Response[str]:
        return response(problem(NotFoundError.status, NotFoundError.code, "no such resource"))


def response(answer: Problem) -> Response[str]:
    """Return a problem as the event handler sends it."""
    return Response(answer.status, CONTENT_TYPE, answer.body, dict(answer.headers))
