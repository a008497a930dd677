"""Typed settings from the environment, read once in a cold start."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def from_environment[T](settings: type[T], environment: Mapping[str, str] = os.environ) -> T:
    """Fill a dataclass from the variables named like its fields, in capitals.

    Raises:
        KeyError: a variable is missing.
        ValueError: it is not of its field's type.

    """
    return settings(**{field.name: _read(field.type, environment[field.name.upper()]) for field in fields(settings)})  # type: ignore[arg-type]


def _read(kind: Any, value: str) -> str | int | bool:
    if kind is bool:
        return bool(("false", "true").index(value))
    return int(value) if kind is int else value
