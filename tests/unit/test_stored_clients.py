"""How clients are read that other versions of this service have stored."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.providers import table
from backchannel.providers.clients import ALL_BUT_EXPIRED, Client
from backchannel.providers.table import Providers
from backchannel.reasons import Reason

WIKI = Client("wiki")


def read(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(table, "read", lambda *_: SimpleNamespace(document=document))
    monkeypatch.setattr(table, "bind", lambda *_: None)
    return Providers(None, "providers").get_client("acme", "wiki")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "reasons"),
    [
        ({}, ALL_BUT_EXPIRED),
        ({"logout_on_expiry": False}, ALL_BUT_EXPIRED),
        ({"logout_on_expiry": True}, tuple(Reason)),
        ({"logout_reasons": ["compromised", "logout"]}, (Reason.LOGOUT, Reason.COMPROMISED)),
        ({"logout_reasons": []}, ()),
        ({"logout_reasons": ["logout", "a word of a newer version"], "logout_on_expiry": True}, (Reason.LOGOUT,)),
    ],
)
def test_a_stored_client_hears_of_what_it_heard_of(
    stored: dict[str, Any], reasons: tuple[Reason, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {name: value for name, value in asdict(WIKI).items() if name != "logout_reasons"}

    assert read(document | stored, monkeypatch).logout_reasons == reasons
