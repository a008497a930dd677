"""The root of the tree, and how its texts repeat a name."""

from typing import ClassVar

SHOWN = 64
"""Characters of a name that an error repeats; the longest name of a provider or a source has as many."""


def shown(name: str) -> str:
    """Return a name that somebody else chose, quoted and cut, for the text of an error."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}…")


class BackchannelError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "internal_error"
