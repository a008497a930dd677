"""``/mass-logouts``: all sessions of a provider, of a client or of a list of subjects ended; watched, paused and cancelled."""

import uuid
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from backchannel.api.dependencies import Dependencies, dependencies, now, requester
from backchannel.api.logouts import reason_of
from backchannel.api.mass_logout_bodies import (
    MassLogoutEstimate,
    MassLogoutRates,
    MassLogoutRequest,
    MassLogoutsView,
    MassLogoutView,
    ReachedClientView,
    ReachedState,
    shown,
)
from backchannel.api.paging import cursor, sort_key
from backchannel.api.parameters import After, Limit
from backchannel.api.requests import milliseconds
from backchannel.api.views import responses
from backchannel.errors import ConflictError, MalformedRequestError
from backchannel.logouts.mass.audience import Audience, untold
from backchannel.logouts.mass.estimate import Estimator, Reach
from backchannel.logouts.mass.messages import MassLogoutMessage
from backchannel.logouts.mass.records import Change, MassLogout, Scope, Totals
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.sessions import events as session_events
from backchannel.sessions.events import MassEnd

router = APIGatewayRouter()

MassLogoutId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]

LONG, TOO_LONG = 4_000, 14_000
"""Milliseconds of a dry run after which it reads samples, and no more of them. API Gateway waits for 29 s."""

MOST_CLIENTS = 200
"""How many clients a dry run looks at, those with the most tokens first."""

_LISTED = "mass-logouts"


@router.post(
    "/mass-logouts",
    summary="End all sessions of a provider, of a client or of a list of subjects",
    responses={**responses(MassLogoutView, 200, 202), **responses(MassLogoutEstimate, 200)},
)
def post(request: MassLogoutRequest) -> tuple[MassLogoutView | MassLogoutEstimate, int]:
    """Start a mass logout, or return the one that is active in the same scope (200). With ``dry_run``, only count (200).

    Ended are the sessions that started until now, or before ``started_before``; later logins live.
    """
    using, received = dependencies(router), now()
    provider = using.providers.get(request.scope.provider)
    scope = _scope(using, request, provider.issuer)
    reason = reason_of(request.reason)
    mass = MassLogout(
        mass_logout=str(uuid.uuid4()),
        provider=provider.provider,
        issuer=provider.issuer,
        scope=scope.name,
        ended_at=_last_covered(request, received),
        created_at=received,
        reason=reason,
        rate=request.rate,
        client_rate=request.client_rate,
        requested_by=requester(router),
        client_id=scope.client_id,
        subjects=None if scope.subjects is None else len(scope.subjects),
        note=request.reason if reason is Reason.ADMIN_LOGOUT else None,
        started_before=None if request.started_before is None else milliseconds(request.started_before),
        history=(Change(received, requester(router), "started"),),
    )
    if request.dry_run:
        return _estimate(using, provider, scope, mass), HTTPStatus.OK
    stored = using.mass_logouts.create(mass, scope.subjects or ())
    if (stored.reason, stored.note, stored.started_before) != (mass.reason, mass.note, mass.started_before):
        raise ConflictError(f"mass logout {stored.mass_logout} of this scope, with another reason or time, is {stored.state}")
    _wake(using, stored)
    is_new = stored.mass_logout == mass.mass_logout
    return _shown(using, stored), HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK


@router.get("/mass-logouts", summary="List mass logouts, the newest first", responses=responses(MassLogoutsView, 200))
def get_all(after: After = None, limit: Limit = 20) -> MassLogoutsView:
    """Return a page of mass logouts."""
    using = dependencies(router)
    page = using.mass_logouts.page(sort_key(after, _LISTED, ""), limit)
    totals = using.mass_chunks.totals_of([each.mass_logout for each in page.items])
    return MassLogoutsView(
        mass_logouts=[shown(each, totals.get(each.mass_logout, Totals())) for each in page.items],
        next=cursor(page.cursor, _LISTED),
    )


@router.get(
    "/mass-logouts/<mass_logout_id>", summary="Show a mass logout and its progress", responses=responses(MassLogoutView, 200)
)
def get(mass_logout_id: MassLogoutId) -> MassLogoutView:
    """Return what was asked for and what has come of it."""
    using = dependencies(router)
    return _shown(using, using.mass_logouts.get(mass_logout_id))


@router.patch("/mass-logouts/<mass_logout_id>", summary="Change the rate", responses=responses(MassLogoutView, 200))
def patch(mass_logout_id: MassLogoutId, request: MassLogoutRates) -> MassLogoutView:
    """Change how fast a mass logout goes, while it is active; a rate that is left out stays as it is."""
    using = dependencies(router)
    found = using.mass_logouts.get(mass_logout_id)
    rate, client_rate = request.rate or found.rate, request.client_rate or found.client_rate
    if (rate, client_rate) == (found.rate, found.client_rate):
        return _shown(using, found)
    change = Change(now(), requester(router), f"rate {rate}, client_rate {client_rate}")
    changed = using.mass_logouts.set_rates(found, change, rate, client_rate)
    _wake(using, changed)
    return _shown(using, changed)


@router.post(
    "/mass-logouts/<mass_logout_id>/pause", summary="Release nothing more for now", responses=responses(MassLogoutView, 200)
)
def pause(mass_logout_id: MassLogoutId) -> MassLogoutView:
    """Pause a mass logout within about a second. What is released goes on."""
    using = dependencies(router)
    found = using.mass_logouts.get(mass_logout_id)
    return _shown(using, using.mass_logouts.pause(found, Change(now(), requester(router), "paused")))


@router.post("/mass-logouts/<mass_logout_id>/resume", summary="Go on", responses=responses(MassLogoutView, 200))
def resume(mass_logout_id: MassLogoutId) -> MassLogoutView:
    """Resume a mass logout. One that is running is only woken."""
    using = dependencies(router)
    found = using.mass_logouts.get(mass_logout_id)
    resumed = using.mass_logouts.resume(found, Change(now(), requester(router), "resumed"))
    _wake(using, resumed)
    return _shown(using, resumed)


@router.post("/mass-logouts/<mass_logout_id>/cancel", summary="Release nothing more", responses=responses(MassLogoutView, 200))
def cancel(mass_logout_id: MassLogoutId) -> MassLogoutView:
    """Cancel a mass logout. ``released`` and ``found`` say what was sent and what was not; what is released goes on."""
    using = dependencies(router)
    found = using.mass_logouts.get(mass_logout_id)
    cancelled = using.mass_logouts.cancel(found, Change(now(), requester(router), "cancelled"))
    _wake(using, cancelled)
    return _shown(using, cancelled)


def _wake(using: Dependencies, mass: MassLogout) -> None:
    """Queue the next turn now, whatever waits; if a turn is being worked, this is the same one that will follow it."""
    using.mass_logout_queue.send([MassLogoutMessage(mass.mass_logout, mass.turn + 1).outgoing()])


def _shown(using: Dependencies, mass: MassLogout) -> MassLogoutView:
    return shown(mass, using.mass_chunks.totals(mass.mass_logout))


def _scope(using: Dependencies, request: MassLogoutRequest, issuer: str) -> Scope:
    scope = request.scope
    client_id = None if scope.client_id is None else session_events.identifier("client_id", scope.client_id)
    if client_id is not None:
        using.providers.get_client(scope.provider, client_id)  # one that does not exist would end nothing, in silence
    subjects = None if scope.subjects is None else tuple(dict.fromkeys(map(session_events.subject, scope.subjects)))
    return Scope(issuer, client_id, subjects)


def _last_covered(request: MassLogoutRequest, received: int) -> int:
    """Return the latest time of a login that is ended.

    Raises:
        MalformedRequestError: nothing can have started before.

    """
    if request.started_before is None:
        return received
    before = milliseconds(request.started_before)
    if before < session_events.EARLIEST:
        raise MalformedRequestError("started_before is before any session")
    return min(received, before - 1)


def _estimate(using: Dependencies, provider: Provider, scope: Scope, mass: MassLogout) -> MassLogoutEstimate:
    began = mass.created_at
    end = MassEnd(mass.ended_at, "dry run", mass.client_id, mass.reason)
    audience = Audience.of(using.providers, provider, mass.client_id, mass.reason)
    read = Estimator(using.sessions, using.told.untold_by(provider.recipients), audience, began).count(
        scope, end, is_long=lambda: now() - began > LONG, is_too_long=lambda: now() - began > TOO_LONG
    )
    reach = read.extrapolated()
    return MassLogoutEstimate(
        dry_run=True,
        share=round(reach.share, 4),
        subjects=round(reach.subjects),
        sessions=round(reach.sessions),
        without_sid=round(reach.without_sid),
        clients=_clients(using, mass, reach),
        seconds=round(reach.seconds(mass.rate, mass.client_rate), 1),
    )


def _clients(using: Dependencies, mass: MassLogout, reach: Reach) -> list[ReachedClientView]:
    looked_at = [client_id for client_id, _ in reach.tokens.most_common(MOST_CLIENTS)]
    known = {each.client_id: each for each in using.providers.get_clients(mass.provider, looked_at)} if looked_at else {}
    states = {each: _state(using, mass, known.get(each)) for each in looked_at}
    return [
        ReachedClientView(client_id=client_id, tokens=tokens, state=states.get(client_id, "unknown"))
        for client_id, tokens in reach.tokens.most_common()
    ]


def _state(using: Dependencies, mass: MassLogout, client: Client | None) -> ReachedState:
    if client is None:
        return "unregistered"
    why_not = untold(client, mass.reason)
    if why_not is not None:
        return why_not
    if client.paused:
        return "paused"
    return "ready" if using.circuits.get(mass.provider, client.client_id).state == "closed" else "failing"
