"""What the documents name exists, and what is derived from the code is what the code derives."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from backchannel import __version__
from backchannel.webhooks.formats import FORMATS
from backchannel_cli.app import app
from local import command_reference, compatibility, effects, openapi, reference
from tests.unit.test_rooms import MAY_IMPORT

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
SUITES = re.findall(r"^SUITES := (.+)$", MAKEFILE, re.MULTILINE)[0].split()
TARGETS = {
    *(target for line in re.findall(r"^\.PHONY: ([a-z -]+)$", MAKEFILE, re.MULTILINE) for target in line.split()),
    *(f"test-{suite}" for suite in SUITES),
}
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
}

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def code(text: str) -> Iterator[str]:
    """Yield the fenced blocks of a document, then its code spans."""
    fenced = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
    yield from fenced.findall(text)
    yield from re.findall(r"`([^`]+)`", fenced.sub("", text))


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"https?://|mailto:", link)]


@every_document
def test_every_make_target_that_a_document_names_exists(name: str) -> None:
    named = {target for span in code(DOCUMENTS[name]) for target in re.findall(r"\bmake ([a-z][a-z-]*)", span)}

    assert named <= TARGETS


@every_document
def test_every_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    for link in links(DOCUMENTS[name]):
        path, _, fragment = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name

        assert target.exists(), link
        assert not fragment or fragment in {anchor(heading) for heading in headings(target.read_text())}, link


def test_make_help_lists_every_target() -> None:
    listed = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))

    assert listed == TARGETS


def test_the_map_of_the_rooms_is_that_of_the_imports() -> None:
    rows = re.findall(r"^\| `(\w+)[./].*\| ([a-z_, ]+) \|$", DOCUMENTS["CONTRIBUTING.md"], re.MULTILINE)

    drawn = {room: frozenset(others.split(", ")) - {"nothing of ours"} for room, others in rows}
    assert list(drawn.items()) == list(MAY_IMPORT.items())


def test_the_index_of_decisions_lists_every_entry_in_order() -> None:
    text = DOCUMENTS["docs/decisions.md"]
    entries = [heading.partition(": ") for heading in headings(text) if re.match(r"\d{4}-", heading)]

    index = re.findall(r"^- .+$", text.partition("\n## ")[0], re.MULTILINE)

    assert index == [f"- {date} [{title}](#{anchor(f'{date}: {title}')})" for date, _, title in entries]


def test_openapi_json_is_what_the_code_generates() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.render(), "docs/openapi.json is out of date: run `make openapi`"


def test_the_table_of_effects_is_what_the_code_does_with_the_samples() -> None:
    assert effects.DOCUMENT.read_text() == effects.render(), "docs/providers/effects.md is out of date: run `make effects`"


@pytest.mark.parametrize("page", reference.render())
def test_a_page_of_the_reference_is_what_the_code_generates(page: str) -> None:
    assert (reference.DIRECTORY / page).read_text() == reference.render()[page], f"{page} is out of date: run `make reference`"


def test_the_reference_has_no_page_that_nobody_generates() -> None:
    assert {path.name for path in reference.DIRECTORY.iterdir()} == reference.render().keys()


def test_the_page_of_the_command_says_what_each_of_its_commands_prints_as_json() -> None:
    names = [name for name, _ in command_reference.commands(typer.main.get_command(app))]
    objects = {name.lower() for name in json.loads(openapi.DOCUMENT.read_text())["components"]["schemas"]}

    assert sorted(names) == sorted(command_reference.PRINTS)
    assert set(re.findall(r"objects\.md#(\w+)", " ".join(command_reference.PRINTS.values()))) <= objects


def test_which_provider_works_with_which_relying_party_is_what_the_code_generates() -> None:
    assert compatibility.DOCUMENT.read_text() == compatibility.render(), "can-i-use-it.md is out of date: run `make reference`"


def test_every_page_of_a_provider_or_a_relying_party_is_in_the_table_of_what_works() -> None:
    providers = {each.page for each in compatibility.PROVIDERS}
    relying_parties = {each.page for each in compatibility.RELYING_PARTIES}

    assert {path.stem for path in (ROOT / "docs" / "providers").glob("*.md")} - {"index", "effects"} == providers
    assert {path.stem for path in (ROOT / "docs" / "relying-parties").glob("*.md")} - {"index"} == relying_parties
    assert {name for each in compatibility.PROVIDERS for name in each.formats} <= FORMATS.keys()


def test_how_the_table_of_what_works_registers_a_relying_party_is_how_its_page_does() -> None:
    for each in compatibility.RELYING_PARTIES:
        page = DOCUMENTS[f"docs/relying-parties/{each.page}.md"]

        assert re.findall(r'"subject": "(\w+)"', page) == [each.subject] * (each.subject != "both" or '"subject"' in page)
        assert ("not run" in page) is not each.was_run


def test_the_index_of_providers_leads_to_every_page_and_names_every_format() -> None:
    index = DOCUMENTS["docs/providers/index.md"]
    pages = {path.name for path in (ROOT / "docs" / "providers").glob("*.md")} - {"index.md"}

    assert pages <= {link.partition("#")[0] for link in links(index)}
    assert FORMATS.keys() <= {*re.findall(r"`([^`]+)`", index)}


def test_the_version_follows_semantic_versioning() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
