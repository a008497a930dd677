"""What a mass logout looks like: whom it would reach, and how far it has come."""

from backchannel_cli.commands.logout_picture import who
from backchannel_cli.commands.watching import PENDING, told
from backchannel_cli.output import Column, Json
from backchannel_cli.run import Run
from backchannel_cli.times import at

BAR = 20
"""Characters of the longest bar of a plan."""

MEANS = {
    "ready": "",
    "paused": "waits until somebody resumes the client",
    "failing": "its circuit is open: waits until it answers again",
    "unregistered": "is told nothing: there is no such client",
    "unknown": "was not looked at: there are too many clients",
}
MINUTE = 120
"""Seconds from which on minutes are easier to read."""

STATES = (
    Column("mass logout", "mass_logout_id"),
    Column("started", lambda each: at(each["created_at"])),
    Column("whom", lambda each: whom(each, each["listed_subjects"])),
    Column("reason", lambda each: each["note"] or each["reason"]),
    Column("ordered by", lambda each: who(each["requested_by"])),
    Column("state", "state"),
    Column("deliveries", lambda each: told(each["deliveries"])),
)


def whom(scope: Json, listed: int | None = None) -> str:
    """Return whom a mass logout is about."""
    subjects = scope.get("subjects")
    number = listed if subjects is None else len(subjects)
    who = "everybody" if number is None else f"{number} users"
    where = scope["provider"] if scope.get("client_id") is None else f"{scope['provider']}/{scope['client_id']}"
    return f"{who} of {where}"


def show_plan(run: Run, request: Json, plan: Json) -> None:
    """Print whom a mass logout would reach."""
    output = run.output
    if output.is_json:
        output.document(plan)
        return
    tokens = max([each["tokens"] for each in plan["clients"]] or [0])
    output.line(f"A mass logout of {whom(request['scope'])}, reason: {request['reason']}")
    output.line("")
    about = "about " if plan["share"] < 1 else ""
    output.item(
        {
            "users": f"{about}{plan['subjects']}",
            "RP sessions": f"{about}{plan['sessions']}",
            "without sid": f"{about}{plan['without_sid']}",
            "takes": f"about {duration(plan['seconds'])}",
            "read": f"{plan['share']:.0%} of the sessions",
        }
    )
    if plan["clients"]:
        output.line("")
        output.items(plan["clients"], _plan_columns(tokens))


def _plan_columns(most: int) -> tuple[Column, ...]:
    return (
        Column("client", "client_id"),
        Column("tokens", "tokens"),
        Column("", lambda each: "#" * max(1, round(BAR * each["tokens"] / most)) if most else ""),
        Column("state", "state"),
        Column("", lambda each: MEANS.get(each["state"], "")),
    )


def show_mass_logout(run: Run, mass: Json) -> None:
    """Print a mass logout, what came of it at each client, and who did what to it."""
    output = run.output
    if output.is_json:
        output.document(mass)
        return
    output.item(
        {
            "mass logout": mass["mass_logout_id"],
            "whom": whom(mass, mass["listed_subjects"]),
            "reason": mass["note"] or mass["reason"],
            "ordered by": mass["requested_by"],
            "state": mass["state"],
            "rate": f"{mass['rate']} tokens a second, {mass['client_rate']} for each client",
            "found": numbers(mass["found"]) + ("" if mass["is_read"] else ", and still reading"),
            "released": numbers(mass["released"]),
            "deliveries": told(mass["deliveries"]),
            "finished": at(mass["finished_at"]),
        }
    )
    if mass["clients"]:
        output.line("")
        show_clients(run, mass)
    output.line("")
    output.items(mass["history"], HISTORY)


HISTORY = (Column("when", lambda each: at(each["at"])), Column("what", "what"), Column("by", "by"))


def show_clients(run: Run, mass: Json) -> None:
    """Print what came of a mass logout at each client."""
    rows = [{"client": client, **_sums(counts)} for client, counts in sorted(mass["clients"].items())]
    headings = ("client", "accepted", "pending", "not accepted", "which")
    run.output.items(rows, tuple(Column(heading, heading) for heading in headings))


def _sums(counts: dict[str, int]) -> Json:
    left = {status: count for status, count in counts.items() if status not in {*PENDING, "accepted"} and count}
    return {
        "accepted": counts.get("accepted", 0),
        "pending": sum(counts.get(status, 0) for status in PENDING),
        "not accepted": sum(left.values()),
        "which": told(left) if left else None,
    }


def numbers(found: Json) -> str:
    return f"{found['subjects']} users, {found['sessions']} RP sessions"


def duration(seconds: float) -> str:
    """Return a time in words, as exact as an estimate is."""
    if seconds < MINUTE:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < MINUTE else f"{minutes / 60:.1f} h"
