"""`backchannel doctor`: one question after the other, from the machine to the relying parties; none stops the next."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import typer

from backchannel_cli.aws import explained
from backchannel_cli.commands.names import OneProvider, providers
from backchannel_cli.commands.status import silent
from backchannel_cli.errors import CommandError, FailureError
from backchannel_cli.output import Column
from backchannel_cli.run import Run, of
from backchannel_cli.service import path_of

COLUMNS = (Column("question", "question"), Column("result", "result"), Column("what", "what"), Column("do", "do"))


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a question: ``ok``, ``wrong``, or ``unknown`` if it could not be asked; ``do`` is what comes next."""

    question: str
    result: str
    what: str
    do: str = ""


def doctor(context: typer.Context, provider: OneProvider = None) -> None:
    """Look for what is wrong, from this machine to the relying parties' trust: backchannel doctor."""
    run = of(context)
    findings = list(_findings(run, provider))
    run.output.items([asdict(finding) for finding in findings], COLUMNS)
    if wrong := [finding.question for finding in findings if finding.result == "wrong"]:
        raise FailureError(f"Wrong: {', '.join(wrong)}.", "Do what stands beside each, from the top.")


def _findings(run: Run, one: str | None) -> Iterator[Finding]:
    try:
        place = run.place
    except CommandError as error:
        yield Finding("service", "wrong", str(error), error.next_step)
        return
    yield Finding("service", "ok", f"{place.url} in {place.region}; {place.found}")
    yield from _asked("credentials", _credentials, run)
    yield from _asked("stack", _stack, run)
    yield from _asked("alarms", _alarms, run)
    names: list[str] = []
    yield from _asked("API", _api, run, names, one)
    for provider in run.output.each(names, "providers"):
        yield from _asked(f"keys of {provider}", _keys, run, provider)
        yield from _asked(f"sources of {provider}", _sources, run, provider)


def _asked(question: str, ask: Callable[..., Finding], *arguments: Any) -> Iterator[Finding]:
    try:
        yield ask(*arguments)
    except CommandError as error:
        yield Finding(question, "wrong", str(error), error.next_step)


def _credentials(run: Run) -> Finding:
    account, caller = run.place.aws.caller()
    return Finding("credentials", "ok", f"{caller} in account {account}")


def _stack(run: Run) -> Finding:
    place = run.place
    if place.stack is None:
        return Finding("stack", "unknown", "found by its URL", "Name the stack with --stack instead of --url.")
    with explained():
        (stack,) = place.aws.client("cloudformation").describe_stacks(StackName=place.stack)["Stacks"]
    status = stack["StackStatus"]
    if status.endswith(("_FAILED", "ROLLBACK_COMPLETE")):
        return Finding("stack", "wrong", f"{place.stack}: {status}", "Read the stack's events, and deploy it again.")
    return Finding("stack", "ok", f"{place.stack}: {status}")


def _alarms(run: Run) -> Finding:
    place = run.place
    if place.stack is None:
        return Finding("alarms", "unknown", "found by its URL", "Name the stack with --stack instead of --url.")
    prefix = f"{place.stack}-"
    with explained():
        pages = place.aws.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
        alarms: list[dict[str, Any]] = [alarm for page in pages for alarm in page["MetricAlarms"]]
    raised = [alarm for alarm in alarms if alarm["StateValue"] == "ALARM"]
    if raised:
        names = "; ".join(f"{_name(alarm, prefix)}: {alarm.get('AlarmDescription', '')}" for alarm in raised)
        return Finding("alarms", "wrong", names, "docs/operations.md says for each alarm what to do.")
    return Finding("alarms", "ok", f"none of {len(alarms)} is raised")


def _api(run: Run, names: list[str], one: str | None) -> Finding:
    """Ask which providers there are, and remember them for the questions about each."""
    found = providers(run, None)
    names += [one] if one else found
    return Finding("API", "ok", f"it answers; providers: {len(found)}")


def _keys(run: Run, provider: str) -> Finding:
    question = f"keys of {provider}"
    found = run.service.get(path_of("providers", provider, "keys", "check"))
    missing = [client["client_id"] for client in found["clients"] if client["is_found"] is False]
    see = f"See: {run.command('keys', 'check', provider)}"
    if missing:
        # A relying party that was given our keys in another way than by the provider's JWKS finds them all the same.
        return Finding(question, "unknown", f"not found for {', '.join(missing)}", see)
    if found["failure"]:
        return Finding(question, "unknown", found["failure"], see)
    return Finding(question, "ok", f"clients that find them in the provider's JWKS: {len(found['clients'])}")


def _sources(run: Run, provider: str) -> Finding:
    question = f"sources of {provider}"
    sources = run.service.list(path_of("providers", provider, "sources"), "sources")
    if quiet := silent(run.service, provider, sources):
        see = f"See: {run.command('source', 'show', f'{provider}/{quiet[0]}')}"
        return Finding(question, "wrong", f"silent: {', '.join(quiet)}", see)
    return Finding(question, "ok", "none is silent")


def _name(alarm: dict[str, Any], prefix: str) -> str:
    """Return an alarm's name as the documentation has it: without the stack's, and without what CloudFormation added."""
    return str(alarm["AlarmName"]).removeprefix(prefix).rpartition("-")[0]
