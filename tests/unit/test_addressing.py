"""docs/sessions.md has the table of what a token names; here it is compared with the code."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from backchannel.deliveries.addressing import SUB_UNKNOWN, SUPERSEDED, UNADDRESSABLE, Named, Newer, ReplaceBySid, address
from backchannel.deliveries.outcomes import Outcome
from backchannel.providers.clients import Client
from backchannel.reasons import EMERGENCIES, Reason

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "sessions.md").read_text()
ROWS = [
    tuple(cell.replace("`", "").strip() for cell in row.strip("|").split("|"))
    for row in re.findall(r"^\| (?:one session|all sessions)[^|]*(?:\|[^|]*){4}\|$", DOCUMENT, re.MULTILINE)
]
WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout")
PROFILES = {
    "both": WIKI,
    "sid_only": replace(WIKI, subject="sid_only"),
    "sub_only": replace(WIKI, subject="sub_only"),
    "needs sid": replace(WIKI, backchannel_logout_session_required=True),
}
NEWER = {"nowhere": Newer.NOWHERE, "elsewhere": Newer.ELSEWHERE, "in the same session": Newer.SAME_SESSION}
NAMED: dict[str, Named | ReplaceBySid | Outcome] = {
    "sub and sid": Named.SUB_AND_SID,
    "sub": Named.SUB,
    "sid": Named.SID,
    "superseded": SUPERSEDED,
    "unaddressable": UNADDRESSABLE,
    "one by sid for each older session": ReplaceBySid(),
}


def test_the_table_has_rows() -> None:
    assert len(ROWS) == 13


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ", ".join(row[:3]))
@pytest.mark.parametrize("reason", [None, *Reason])
def test_a_token_names_what_the_table_says(row: tuple[str, ...], reason: Reason | None) -> None:
    about, profile, newer, otherwise, in_an_emergency = row

    named = address(
        PROFILES[profile],
        reason,
        NEWER[newer],
        has_sid=about == "one session",
        has_older_without_sid=about.endswith("without sid"),
    )

    assert named == NAMED[in_an_emergency if reason in EMERGENCIES else otherwise]


def test_the_document_lists_the_emergencies() -> None:
    listed = re.search(r"In an emergency - (.*?) -", DOCUMENT, re.DOTALL)

    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == EMERGENCIES


@pytest.mark.parametrize("newer", Newer)
@pytest.mark.parametrize("reason", [Reason.LOGOUT, Reason.COMPROMISED])
def test_a_client_that_needs_sid_gets_no_token_without_it(newer: Newer, reason: Reason) -> None:
    for client in (PROFILES["sid_only"], PROFILES["needs sid"]):
        named = address(client, reason, newer, has_sid=True, has_older_without_sid=False)

        assert named in {Named.SID, Named.SUB_AND_SID, SUPERSEDED}


@pytest.mark.parametrize(
    ("profile", "named"), [("both", Named.SID), ("sid_only", Named.SID), ("needs sid", Named.SID), ("sub_only", SUB_UNKNOWN)]
)
def test_where_nobody_knows_the_subject_a_token_names_the_session_alone(profile: str, named: Named | Outcome) -> None:
    client = PROFILES[profile]

    assert address(client, None, Newer.NOWHERE, has_sid=True, has_older_without_sid=False, has_sub=False) == named
