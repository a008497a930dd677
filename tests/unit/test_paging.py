import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.api.paging import cursor, index_key, position, sort_key
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import status_changed, status_range
from backchannel.errors import MalformedRequestError

text = st.text(max_size=40)


@given(text)
def test_a_position_survives_its_cursor(place: str) -> None:
    assert position(cursor(place, "list"), "list", str) == place


@given(st.dictionaries(text, text, max_size=4))
def test_a_position_of_several_parts_survives_its_cursor(place: dict[str, str]) -> None:
    assert position(cursor(place, "list"), "list", dict) == place


@given(st.dictionaries(text, text, max_size=4))
def test_a_cursor_needs_no_escaping_in_a_query(place: dict[str, str]) -> None:
    assert set(cursor(place, "list") or "") <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_end_of_a_list_has_no_cursor_and_its_beginning_needs_none() -> None:
    assert cursor(None, "list") is None
    assert position(None, "list", str) is None


@pytest.mark.parametrize("kind", [str, dict])
@given(after=text)
@example(after="!")
@example(after="é")
@example(after="bnVsbA")  # null
@example(after="W1tbWw")  # [[[[
def test_what_is_no_cursor_is_the_callers_fault(kind: type[Any], after: str) -> None:
    try:
        found = position(after, "list", kind)
    except MalformedRequestError:
        return

    assert isinstance(found, kind)


@pytest.mark.parametrize(("place", "kind"), [("RP#wiki", dict), ({"pk": "a"}, str), (7, str), ([], dict)])
def test_a_cursor_of_another_list_is_the_callers_fault(place: object, kind: type[Any]) -> None:
    with pytest.raises(MalformedRequestError, match="this list"):
        position(cursor(place, "list"), "list", kind)


def test_a_cursor_too_deep_to_read_is_the_callers_fault() -> None:
    after = cursor(json.loads("[" * 500 + "]" * 500), "list") or ""

    with pytest.raises(MalformedRequestError):
        position("W1tb" * 50_000 + after, "list", str)


def test_a_cursor_leads_into_no_other_list() -> None:
    with pytest.raises(MalformedRequestError, match="this list"):
        position(cursor("RP#wiki", "clients/one"), "clients/other", str)


@pytest.mark.parametrize("decoded", ["x", {"pk": "x"}, {"of": "list"}, {"at": "x"}, None, 7])
def test_what_only_looks_like_a_cursor_is_the_callers_fault(decoded: object) -> None:
    after = base64.urlsafe_b64encode(json.dumps(decoded).encode()).decode()

    with pytest.raises(MalformedRequestError, match="this list"):
        position(after, "list", str)


@pytest.mark.parametrize(
    "key", ["RP#wiki", "RP#wiki#sid-1", "RP#", "RP#" + "a" * 1021, "RP#wik\u00ed", "RP#\U0001f469\u200d\U0001f4bb"]
)
def test_a_list_goes_on_behind_any_key_that_it_could_hold(key: str) -> None:
    assert sort_key(cursor(key, "list"), "list", "RP#") == key


@pytest.mark.parametrize("key", ["", "RP", "LOGOUT", "rp#wiki", "RP#" + "a" * 1022, "RP#" + "\u00ed" * 511, "RP#\ud800", 7, None])
def test_a_list_goes_on_behind_no_key_that_its_table_would_refuse(key: object) -> None:
    edited = base64.urlsafe_b64encode(json.dumps({"of": "list", "at": key}).encode()).decode()

    with pytest.raises(MalformedRequestError, match="this list"):
        sort_key(edited, "list", "RP#")


PLACE = {"pk": "0123456789abcdef", "sk": "RP#wiki#sid-1", "status_changed": status_changed(Status.REJECTED, 1_788_256_800_000)}


@pytest.mark.parametrize("within", [status_range(Status.REJECTED), status_range(None)])
def test_a_list_of_deliveries_goes_on_where_it_was(within: tuple[str, str]) -> None:
    assert index_key(PLACE, within) == PLACE


def test_a_list_of_deliveries_begins_at_its_beginning() -> None:
    assert index_key(None, status_range(None)) is None


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"pk": "a"},
        PLACE | {"pk": ""},
        PLACE | {"sk": None},
        PLACE | {"sk": "a" * 1025},
        PLACE | {"pk": "\ud800"},
        PLACE | {"status_changed": "rejected#"},
        PLACE | {"status_changed": status_changed(Status.BLOCKED, 1)},
        PLACE | {"status_changed": status_changed(Status.REJECTED, 1_788_256_800_001)},
        [],
        "RP#wiki",
        7,
    ],
)
def test_a_list_of_deliveries_goes_on_at_no_place_that_its_index_would_refuse(place: object) -> None:
    with pytest.raises(MalformedRequestError, match="this list"):
        index_key(place, status_range(Status.REJECTED, 0, 1_788_256_800_000))
