"""Values that no log may contain. Whatever makes one for a test notes it here; test_logs looks for all of them at the end."""

import secrets

NOTED: set[str] = set()


def note(value: str) -> str:
    NOTED.add(value)
    return value


def new_id(kind: str) -> str:
    """Return a ``sub`` or ``sid`` that nothing else looks like."""
    return note(f"{kind}-{secrets.token_hex(12)}")
