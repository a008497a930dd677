import inspect
from http import HTTPStatus

import pytest

from backchannel import errors
from backchannel.errors import BackchannelError, CallerError, InternalFailure, RelyingPartyFault

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BackchannelError)]
BRANCHES = (CallerError, RelyingPartyFault, InternalFailure)


def _name(kind: type[BackchannelError]) -> str:
    return kind.__name__


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in ALL]

    assert len(set(codes)) == len(ALL)


@pytest.mark.parametrize("kind", ALL, ids=_name)
def test_a_code_is_stable_and_in_snake_case(kind: type[BackchannelError]) -> None:
    assert "code" in vars(kind), "inherited, so that it would change with its parent"
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not BackchannelError], ids=_name)
def test_every_error_is_on_one_of_three_branches(kind: type[BackchannelError]) -> None:
    assert sum(issubclass(kind, branch) for branch in BRANCHES) == 1


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind, CallerError)], ids=_name)
def test_a_callers_error_has_a_4xx_status(kind: type[CallerError]) -> None:
    assert HTTPStatus(kind.status).is_client_error


@pytest.mark.parametrize("kind", ALL, ids=_name)
def test_every_error_says_what_it_means(kind: type[BackchannelError]) -> None:
    assert kind.__doc__
