"""`python -m local.site` lays the documents out in .local/docs/pages, for MkDocs to build a site of them.

The documents are written for a reader at GitHub. Here their links are turned to where the pages are on the site, and their lists
are indented as Python-Markdown wants them.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / ".local" / "docs" / "pages"

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages that are not in docs/, and their names on the site."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *(```+)")
_ITEM = re.compile(r"^(?:[-*+]|\d+\.) +")


def place(path: str) -> str | None:
    """Return where a file of the repository is on the site, or None if it is not there."""
    return OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)


def relinked(text: str, name: str) -> str:
    """Return a document with its links as they are on the site; what the site does not have is named without a link."""
    here = PurePosixPath(place(name) or name).parent

    def turn(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        path, mark, fragment = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return link[0]
        there = place(os.path.normpath(PurePosixPath(name).parent / path))
        return words if there is None else f"{picture}[{words}]({os.path.relpath(there, here)}{mark}{fragment})"

    return "".join(part if is_fenced else _LINK.sub(turn, part) for part, is_fenced in _fences(text))


def _fences(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a document's parts, and whether each is a fenced block."""
    for number, part in enumerate(re.split(r"^( *```.*?^ *```\n)", text, flags=re.MULTILINE | re.DOTALL)):
        yield part, number % 2 == 1


def indented(text: str) -> str:
    """Return a document whose lists are indented by four for each level, with a blank line before lists and tables."""
    lines = list[str]()
    levels = list[int]()
    fence: str | None = None
    for line in text.splitlines():
        indent, previous = len(line) - len(line.lstrip()), lines[-1].strip() if lines else ""
        if fence is None and line.strip():
            while levels and indent < levels[-1] and (not previous or _ITEM.match(line.lstrip()) or indent == 0):
                levels.pop()
        inner = line[min(indent, levels[-1] if levels else 0) :]
        margin = "    " * len(levels)
        if found := _FENCE.match(line):
            fence = found[1] if fence is None else None if found[1] == fence else fence
        elif fence is None and (item := _ITEM.match(inner)):
            if previous and not levels and not _ITEM.match(previous) and not lines[-1].startswith(" "):
                lines.append("")
            levels.append(indent + len(item[0]))
        elif fence is None and inner.startswith("|") and previous and not previous.startswith("|"):
            lines.append("")
        lines.append(f"{margin}{inner}" if line.strip() else "")
    return "\n".join(lines) + "\n"


def documents() -> Iterator[Path]:
    """Yield the files of the site, in the repository."""
    yield from (ROOT / name for name in OUTSIDE)
    yield from (path for path in sorted((ROOT / "docs").rglob("*")) if path.is_file())


def lay_out() -> None:
    """Write the pages anew."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for path in documents():
        name = str(path.relative_to(ROOT))
        target = PAGES / (place(name) or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(indented(relinked(path.read_text(), name)))
        else:
            shutil.copyfile(path, target)


if __name__ == "__main__":
    lay_out()
