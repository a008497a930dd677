"""Times: as an operator writes them (``7d``, ``2h``, or ISO 8601 with a zone), and as a table shows them."""

import re
from datetime import UTC, datetime, timedelta

from backchannel_cli.errors import UsageError

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

HELP = "Such as 30m, 2h, 7d (ago), or 2026-11-27T06:00:00Z."


def moment(text: str, now: datetime | None = None) -> str:
    """Return the time that is meant, in ISO 8601.

    Raises:
        UsageError: it is no time, or has no zone.

    """
    ago = _AGO.fullmatch(text)
    try:
        before = timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else None
        at = datetime.fromisoformat(text) if before is None else (now or datetime.now(UTC)) - before
    except (ValueError, OverflowError) as error:
        raise _not_a_time(text) from error
    if at.tzinfo is None:
        raise _not_a_time(text)
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(text: object) -> str | None:
    """Return a time of the API as a table shows it: to the second, in UTC."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError):
        return text


def _not_a_time(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a time.", "Write 30m, 2h or 7d, which is so long ago, or 2026-11-27T06:00:00Z with its zone."
    )
