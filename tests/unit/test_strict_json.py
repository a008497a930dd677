import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.strict_json import parse
from tests.support.json_values import json_values


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '"text"',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 2000 + "1" + "}" * 2000 + "}",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -1e999}',
        f'{{"a": {"1" * 5000}}}',
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        '{"a": 1, "a": 1}',
        '{"b": [{"a": 1, "\\u0061": 2}]}',
        '{"a": 1} x',
        "{'a': 1}",
    ],
    ids=lambda text: text[:20],
)
def test_what_no_reader_or_not_every_reader_understands_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not JSON that can be read|not a JSON object|is there twice"):
        parse(text)


@given(st.dictionaries(st.text(), json_values))
def test_whatever_is_json_is_read_as_it_is(document: dict[str, object]) -> None:
    assert parse(json.dumps(document)) == document


@given(st.text())
def test_whatever_is_not_json_is_a_value_error(text: str) -> None:
    try:
        document = parse(text)
    except ValueError:
        return
    assert isinstance(document, dict)


def test_a_secret_in_a_broken_document_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="not JSON that can be read") as raised:
        parse('{"d": "secret\ud800"}')

    assert "secret" not in str(raised.value)
