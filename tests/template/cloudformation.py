"""A template as plain data: short tags become the mappings that they stand for, each ``Fn::ForEach`` what it repeats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


class _Loader(yaml.SafeLoader):
    pass


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(name: str = "template.yaml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.load((ROOT / name).read_text(), _Loader)  # noqa: S506 - it is a SafeLoader
    document["Resources"] = dict(_resources(document))
    return document


def _resources(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, resource in document["Resources"].items():
        if not name.startswith("Fn::ForEach::"):
            yield name, resource
            continue
        identifier, collection, fragment = resource
        for item in collection:
            for key, value in fragment.items():
                yield key.replace(f"${{{identifier}}}", item), _filled(value, identifier, item, document["Mappings"])


def _filled(value: Any, identifier: str, item: str, mappings: dict[str, Any]) -> Any:
    """Put an item of a loop in the place of its identifier, and look up what then can be."""
    if isinstance(value, list):
        return [_filled(each, identifier, item, mappings) for each in value]
    if not isinstance(value, dict):
        return value
    match {key: _filled(each, identifier, item, mappings) for key, each in value.items()}:
        case {"Ref": name} if name == identifier:
            return item
        case {"Fn::Sub": str(text)} if "${" not in (text := text.replace(f"${{{identifier}}}", item)):
            return text
        case {"Fn::FindInMap": [str(mapping), str(first), str(second)]}:
            return mappings[mapping][first][second]
        case filled:
            return filled


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
