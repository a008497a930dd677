"""Times of events as ISO 8601 dates and times, with seconds and a zone."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backchannel.errors import MalformedRequestError
from backchannel.sessions.events import event_time
from backchannel.webhooks.request import member

_TIME = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[T ][0-9]{2}:?[0-9]{2}:?[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})")
_FRACTION = re.compile("[.,]")
_REST_OF_SECOND = 999
"""Milliseconds."""


def start_time(name: str, document: Mapping[str, Any], now: int) -> int:
    """Return the time of a start, in milliseconds since the epoch.

    Raises:
        CallerError: it is missing, no time, or not one that can be true.

    """
    return event_time(milliseconds(name, document), now)


def end_time(name: str, document: Mapping[str, Any], now: int) -> int:
    """Return the time of an end; one without a fraction means the whole second, so that what started within it is covered.

    Raises:
        CallerError: it is missing, no time, or not one that can be true.

    """
    at = milliseconds(name, document)
    cut = event_time(at, now)
    return cut if _FRACTION.search(document[name]) else min(at + _REST_OF_SECOND, now)


def milliseconds(name: str, document: Mapping[str, Any]) -> int:
    """Return the time in a member, in milliseconds since the epoch.

    Raises:
        MalformedRequestError: it is missing, or no time.

    """
    text = member(document, name, str)
    try:
        if _TIME.fullmatch(text):
            return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise MalformedRequestError(f"{name} is not a date and time that exists") from error
    raise MalformedRequestError(f"{name} must be an ISO 8601 date and time, with seconds and a zone")
