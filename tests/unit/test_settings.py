from dataclasses import dataclass

import pytest

from backchannel.runtime.settings import from_environment


@dataclass(frozen=True, slots=True)
class Settings:
    sessions_table: str
    session_lifetime_days: int
    permit_private_networks: bool


ENVIRONMENT = {
    "SESSIONS_TABLE": "sessions",
    "SESSION_LIFETIME_DAYS": "30",
    "PERMIT_PRIVATE_NETWORKS": "false",
    "PATH": "/usr/bin",
}


def test_each_field_has_its_declared_type() -> None:
    assert from_environment(Settings, ENVIRONMENT) == Settings("sessions", 30, permit_private_networks=False)


def test_true_is_read_as_true() -> None:
    assert from_environment(Settings, ENVIRONMENT | {"PERMIT_PRIVATE_NETWORKS": "true"}).permit_private_networks is True


@pytest.mark.parametrize("name", ["SESSIONS_TABLE", "SESSION_LIFETIME_DAYS", "PERMIT_PRIVATE_NETWORKS"])
def test_a_missing_variable_is_named(name: str) -> None:
    environment = {other: value for other, value in ENVIRONMENT.items() if other != name}

    with pytest.raises(KeyError, match=name):
        from_environment(Settings, environment)


@pytest.mark.parametrize(
    "change",
    [
        {"SESSION_LIFETIME_DAYS": "thirty"},
        {"SESSION_LIFETIME_DAYS": ""},
        {"PERMIT_PRIVATE_NETWORKS": "True"},
        {"PERMIT_PRIVATE_NETWORKS": "1"},
        {"PERMIT_PRIVATE_NETWORKS": ""},
    ],
)
def test_a_value_of_another_type_is_a_value_error(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"literal|not in tuple"):
        from_environment(Settings, ENVIRONMENT | change)
