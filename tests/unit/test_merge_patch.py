import json

import pytest

from backchannel.api.merge_patch import merged

EXAMPLES = """
{"a":"b"} {"a":"c"} {"a":"c"}
{"a":"b"} {"b":"c"} {"a":"b","b":"c"}
{"a":"b"} {"a":null} {}
{"a":"b","b":"c"} {"a":null} {"b":"c"}
{"a":["b"]} {"a":"c"} {"a":"c"}
{"a":"c"} {"a":["b"]} {"a":["b"]}
{"a":{"b":"c"}} {"a":{"b":"d","c":null}} {"a":{"b":"d"}}
{"a":[{"b":"c"}]} {"a":[1]} {"a":[1]}
["a","b"] ["c","d"] ["c","d"]
{"a":"b"} ["c"] ["c"]
{"a":"foo"} null null
{"a":"foo"} "bar" "bar"
{"e":null} {"a":1} {"e":null,"a":1}
[1,2] {"a":"b","c":null} {"a":"b"}
{} {"a":{"bb":{"ccc":null}}} {"a":{"bb":{}}}
"""
"""RFC 7396, appendix A: the document, the patch, the result."""


@pytest.mark.parametrize("example", EXAMPLES.strip().splitlines())
def test_every_example_of_the_specification_is_patched_as_it_says(example: str) -> None:
    document, patch, result = map(json.loads, example.split(" "))

    assert merged(document, patch) == result


def test_a_document_that_is_patched_stays_as_it_was() -> None:
    document = {"a": {"b": "c"}}

    merged(document, {"a": {"b": None}})

    assert document == {"a": {"b": "c"}}
