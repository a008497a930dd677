"""What pages show of the command is what a recorded session shows, and recordings name no person and no customer."""

import re

import pytest

from tests.support.recordings import COMMITTED, ROOT
from tests.support.snippets import blocks

RECORDED = {path.name: path.read_text() for path in sorted(COMMITTED.glob("*.txt"))}
PAGES = ("docs/at-night.md", "docs/import.md", "docs/keys.md", "docs/mass-logout.md", "docs/operations.md")
PAGE_OF_SESSIONS = (ROOT / "docs" / "recordings.md").read_text()


def outputs(text: str) -> dict[str, list[list[str]]]:
    """Return what each command of a session showed, each time."""
    found: dict[str, list[list[str]]] = {}
    for part in re.split(r"^(?=\$ |# )", text, flags=re.MULTILINE):
        command, *shown = part.rstrip("\n").splitlines()
        found.setdefault(command, []).append(shown)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_of_a_command_was_recorded(page: str) -> None:
    recorded: dict[str, list[list[str]]] = {}
    for text in RECORDED.values():
        for command, shown in outputs(text).items():
            recorded.setdefault(command, []).extend(shown)

    for _, block in blocks((ROOT / page).read_text(), "console"):
        for command, (shown,) in outputs(block).items():
            if not command.startswith("$ make "):
                assert shown in recorded.get(command, []), f"{page}: {command}"


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_names_no_person_and_is_on_the_page_of_sessions(name: str) -> None:
    users = set(re.findall(r"--sub (\S+)", RECORDED[name]))

    assert all(re.fullmatch(r"user-\d+", user) for user in users)
    assert not re.search(r"\b(ada|bob|eve|alice|acme-)", RECORDED[name])
    assert f"(recordings/{name})" in PAGE_OF_SESSIONS
