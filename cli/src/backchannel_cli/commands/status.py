"""`backchannel status`: is something wrong, and where?"""

from collections.abc import Iterable
from datetime import UTC, datetime

import typer

from backchannel_cli.commands.names import OneProvider, providers
from backchannel_cli.errors import NotAllowedError
from backchannel_cli.output import Column, Json
from backchannel_cli.run import of
from backchannel_cli.service import Service, path_of

COLUMNS = (
    Column("provider", "provider"),
    Column("clients", "clients"),
    Column("accepted today", "accepted"),
    Column("failed today", "failed"),
    Column("failing", "failing"),
    Column("sources", "sources"),
    Column("silent", "silent"),
    Column("mass logouts", "mass_logouts"),
)

OPEN = frozenset({"running", "paused"})


def status(context: typer.Context, provider: OneProvider = None) -> None:
    """Say how each provider is doing today: backchannel status."""
    run = of(context)
    going_on = _going_on(run.service)
    names = run.output.each(providers(run, provider), "providers")
    found = [_of(run.service, name) | {"mass_logouts": _masses(going_on, name)} for name in names]
    create = run.command("provider", "set", "acme", "issuer=https://idp.example")
    run.output.items(found, COLUMNS, none=f"There is no provider yet. Such as: {create}")
    if any(each["failing"] for each in found):
        failing = run.command("client", "failing", *([provider] if provider else []), "--since", "1d")
        run.output.say(f"What failed, and with which code: {failing}")
    for source in [f"{each['provider']}/{source}" for each in found for source in each["silent"]]:
        run.output.say(f"What a silent source has sent: {run.command('source', 'show', source)}")


def _of(service: Service, provider: str) -> Json:
    query = {"since": datetime.now(UTC).date().isoformat()}
    clients = list(service.list(path_of("providers", provider, "counts"), "clients", query))
    sources = list(service.list(path_of("providers", provider, "sources"), "sources"))
    return {
        "provider": provider,
        "clients": len(clients),
        "accepted": sum(client["accepted"] for client in clients),
        "failed": sum(client["failed"] for client in clients),
        "failing": [client["client_id"] for client in clients if client["failed"]],
        "sources": len(sources),
        "silent": silent(service, provider, sources),
    }


def silent(service: Service, provider: str, sources: Iterable[Json]) -> list[str]:
    """Return the sources that have sent nothing for longer than is usual; only those with an ``expected_interval`` can."""
    watched = [each["source"] for each in sources if each["expected_interval"]]
    shown = {source: service.get(path_of("providers", provider, "sources", source)) for source in watched}
    return [source for source, document in shown.items() if document["activity"]["is_silent"]]


def _going_on(service: Service) -> list[Json] | None:
    """Return the mass logouts that are not over; None if the operator may not see them: they have a permission of their own."""
    try:
        return [mass for mass in service.list("/mass-logouts", "mass_logouts") if mass["state"] in OPEN]
    except NotAllowedError:
        return None


def _masses(going_on: list[Json] | None, provider: str) -> list[str] | None:
    if going_on is None:
        return None
    return [f"{mass['mass_logout_id']} ({mass['state']})" for mass in going_on if mass["provider"] == provider]
