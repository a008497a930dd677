"""What a logout looks like: what was asked for, a line for each delivery, and the attempts of those not accepted."""

from backchannel_cli.commands.watching import told
from backchannel_cli.output import Column, Json
from backchannel_cli.run import Run
from backchannel_cli.service import path_of
from backchannel_cli.times import at

NOBODY = "Nobody was told: no RP session of these was known."


def said(delivery: Json) -> str | None:
    """Return the relying party's own words, or ours about its last attempt."""
    words = [delivery[name] for name in ("error", "error_description") if delivery[name]]
    return ": ".join(words) or None


DELIVERIES = (
    Column("client", "client_id"),
    Column("sid", "sid"),
    Column("status", "status"),
    Column("code", "last_code"),
    Column("attempts", "attempts"),
    Column("next attempt", lambda each: at(each["next_attempt_at"])),
    Column("said", said),
)

ATTEMPTS = (
    Column("client", "client_id"),
    Column("attempt", lambda each: at(each["at"])),
    Column("code", "code"),
    Column("took", lambda each: f"{each['post_ms']} ms"),
    Column("address", "address"),
)


def who(arn: str | None) -> str | None:
    """Return an IAM principal without its account, as a table has room for: ``user/operator``."""
    return None if arn is None else arn.rpartition(":")[2]


def deliveries_of(run: Run, provider: str, logout_id: str) -> Json:
    """Return a logout with all its deliveries, whatever number of pages they are."""
    path = path_of("providers", provider, "logouts", logout_id)
    logout = run.service.get(path)
    if logout["next"] is not None:
        logout["deliveries"] += run.service.list(path, "deliveries", {"after": logout["next"]})
        logout["next"] = None
    return logout


def show_logout(run: Run, provider: str, logout: Json) -> None:
    """Print a logout."""
    output = run.output
    if output.is_json:
        output.document(logout)
        return
    output.item(summary(logout))
    if logout["deliveries"]:
        output.line("")
        output.items(logout["deliveries"], _columns(logout["deliveries"]))
    elif logout["fanned_out"]:
        output.say(NOBODY)
    left = [each for each in logout["deliveries"] if each["status"] != "accepted"]
    attempts = [{"client_id": each["client_id"], **attempt} for each in left for attempt in each["history"]]
    if attempts:
        output.line("")
        output.items(attempts, ATTEMPTS)
    name = f"{provider}/{logout['logout_id']}"
    if not logout["settled"]:
        output.say(f"It is not settled yet. Watch it: {run.command('logout', 'watch', name)}")
    elif left:
        output.say(f"Send again what was not accepted: {run.command('resend', '--logout', name)}")


def summary(logout: Json) -> Json:
    """Return what a logout is about, in words of a table."""
    whose = {name: logout[name] for name in ("sub", "sid", "client_id") if logout[name] is not None}
    ordered = logout["requested_by"] or f"source {logout['source']}"
    return {
        "logout": logout["logout_id"],
        **whose,
        "ended": at(logout["ended_at"]),
        "reason": logout["note"] or logout["reason"],
        "ordered by": ordered,
        "RP sessions": logout["matched"],
        "deliveries": told(logout["counts"] or {}),
    }


def _columns(deliveries: list[Json]) -> tuple[Column, ...]:
    """Return the columns; those in which nothing would stand are left out."""
    again = Column("sent again by", lambda each: who(each["requested_by"]))
    columns = [*DELIVERIES, again]
    kept = {"client", "status", "code", "attempts"}
    return tuple(each for each in columns if each.heading in kept or any(each.text(one) != "-" for one in deliveries))
