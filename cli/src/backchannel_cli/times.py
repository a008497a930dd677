"""How an operator says when: ``90m``, ``24h``, ``7d`` ago, a date, or a time."""

import re
from datetime import UTC, date, datetime, timedelta

from backchannel_cli.errors import UsageError

HELP = "Such as 90m, 24h, 7d (ago), or 2026-11-27T06:00:00Z."

_AGO = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the time that is meant; one without a zone is UTC.

    Raises:
        UsageError: none is.

    """
    now = now or datetime.now(UTC)
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        given = datetime.fromisoformat(text)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no time.", "Write 90m, 24h or 7d for so long ago, or 2026-11-27T06:00:00Z.") from error


def iso(text: str | None) -> str | None:
    """Return the time that is meant as the API takes it, if one is given."""
    return None if text is None else moment(text).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(text: str | None) -> str | None:
    """Return a time of the API as a table shows it: to the second, in UTC."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def day(text: str, now: datetime | None = None) -> date:
    """Return the UTC date that is meant; ``7d`` are seven days, today included."""
    now = now or datetime.now(UTC)
    if text.endswith("d") and _AGO.fullmatch(text):
        return (now - timedelta(days=max(int(text[:-1]) - 1, 0))).date()
    return moment(text, now).date()
