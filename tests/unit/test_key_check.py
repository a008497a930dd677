"""What the check of keys fetches, and from where."""

from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.api import key_check
from backchannel.errors import DocumentUnavailable
from backchannel.providers.table import Provider
from backchannel.tokens.documents import Accept, Document
from backchannel.tokens.locations import Location, Upstream

PRIVATE = ("10.0.0.0/8",)


@pytest.mark.parametrize(("permitted", "networks"), [(True, PRIVATE), (False, ())])
def test_the_check_goes_into_private_networks_only_where_they_are_still_permitted(
    *, permitted: bool, networks: tuple[str, ...]
) -> None:
    asked: list[Location] = []

    def fetch(location: Location, _: Accept) -> Document:
        asked.append(location)
        raise DocumentUnavailable("http_404")

    upstream = Upstream("https://10.1.2.3/discovery", None, PRIVATE)
    provider = Provider("op", "https://op.example", (), upstream=upstream)
    fakes: dict[str, Any] = {
        "providers": SimpleNamespace(get=lambda _: provider, all_clients=lambda _: iter(())),
        "documents": SimpleNamespace(fetch=fetch),
        "permit_private_networks": permitted,
        "permit_loopback": False,
    }
    key_check.router.append_context(dependencies=SimpleNamespace(**fakes))

    key_check.check("op")

    assert [location.allowed_networks for location in asked] == [networks] * 2
