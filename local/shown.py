"""`python -m local.shown`: writes what commands show into the pages, as docs/recordings has it."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = ROOT / "docs" / "recordings"
PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("at-night", "import", "keys", "mass-logout", "operations"))

_BLOCK = re.compile(r"^```console\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def steps(session: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a session at a terminal, each with what it showed."""
    for part in re.split(r"^(?=\$ |# )", session, flags=re.MULTILINE):
        command, _, shown = part.partition("\n")
        if command.startswith("$ "):
            yield command, shown.rstrip("\n")


def recorded() -> dict[str, str]:
    """Return what each command showed, the first time."""
    found: dict[str, str] = {}
    for path in sorted(RECORDINGS.glob("*.txt")):
        for command, shown in steps(path.read_text()):
            found.setdefault(command, shown)
    return found


def filled(text: str, shown: dict[str, str]) -> str:
    """Return a page with what its commands show.

    Raises:
        KeyError: a command was never recorded.

    """

    def block(found: re.Match[str]) -> str:
        commands = [line for line in found[1].splitlines() if line.startswith("$ backchannel ")]
        if not commands:
            return found[0]
        return "".join(("```console\n", *(f"{command}\n{shown[command]}\n" for command in commands), "```\n"))

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(), recorded()))
