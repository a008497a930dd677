"""What pages show of the command is what a recorded session shows, and recordings name no person and no customer."""

import re
from pathlib import Path

import pytest

from local import shown
from local.shown import PAGES, RECORDINGS

RECORDED = {path.name: path.read_text() for path in sorted(RECORDINGS.glob("*.txt"))}
PAGE_OF_SESSIONS = RECORDINGS.with_suffix(".md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_of_a_command_was_recorded(page: Path) -> None:
    """The page is `at-night`, `import`, `keys`, `mass-logout` or `operations`."""
    text = page.read_text()

    assert shown.filled(text, shown.recorded()) == text, f"{page.name}: run `python -m local.shown`"


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_names_no_person_and_is_on_the_page_of_sessions(name: str) -> None:
    users = set(re.findall(r"--sub (\S+)", RECORDED[name]))

    assert all(re.fullmatch(r"user-\d+", user) for user in users)
    assert not re.search(r"\b(ada|bob|eve|alice|acme-corp)\b", RECORDED[name])
    assert f"(recordings/{name})" in PAGE_OF_SESSIONS
