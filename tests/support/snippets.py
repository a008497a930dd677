"""What a document shows: sections, fenced blocks, and requests with their answers."""

import re
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Exchange:
    """A request, and the answer that the document shows for it, if it does."""

    method: str
    path: str
    body: str
    answer: str | None


def sections(text: str) -> dict[str, str]:
    """Return a document's sections by their headings; a line in a fenced block is no heading."""
    found: dict[str, str] = {}
    heading, is_fenced = "", False
    for line in text.splitlines(keepends=True):
        is_fenced ^= line.lstrip().startswith("```")
        if line.startswith("#") and not is_fenced:
            heading = line.strip("# \n")
            found[heading] = ""
        else:
            found[heading] += line
    return found


def blocks(text: str, *kinds: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of some kinds, in their order."""
    return [found for found in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL) if found[0] in kinds]


def exchanges(text: str) -> list[Exchange]:
    """Return the requests, each with the JSON that follows it."""
    found: list[Exchange] = []
    shown = blocks(text, "http", "json")
    for (kind, content), following in pairwise([*shown, ("", "")]):
        if kind == "http":
            head, _, body = content.partition("\n\n")
            method, path = head.split()
            found.append(Exchange(method, path, body, following[1] if following[0] == "json" else None))
    return found
