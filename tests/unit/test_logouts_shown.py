"""What the operator is shown of a logout."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.api import logout_list, logouts
from backchannel.aws.dynamodb import Page
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.logouts.table import Logout

AT = 1_788_256_800_000
QUEUED = DeliveryRecord("idp", "l1", "wiki", "s1", "ada", None, Status.QUEUED, 0, "https://idp.example/", AT, AT, AT)
ACCEPTED = replace(QUEUED, status=Status.ACCEPTED)


class JustAccepted:
    """A delivery that is accepted between two looks at it."""

    def __init__(self) -> None:
        self._looks = iter([QUEUED, ACCEPTED])

    def of_logout(self, *_: Any) -> Page[DeliveryRecord]:
        return Page([next(self._looks)], None)

    def count(self, _: str) -> Counter[Status]:
        return Counter([next(self._looks).status])


@pytest.mark.parametrize("mass_logout", [None, "m1"])
def test_a_logout_names_the_mass_logout_that_it_is_a_part_of(mass_logout: str | None) -> None:
    found = Logout("l1", "idp", QUEUED.issuer, AT, AT, sub="ada", mass_logout=mass_logout)
    listing = SimpleNamespace(newest=lambda *_, **__: ["place"], read=lambda _: {"place": found})
    using = SimpleNamespace(
        providers=SimpleNamespace(get=lambda _: SimpleNamespace(issuer=QUEUED.issuer)),
        logouts=SimpleNamespace(get=lambda *_: found),
        deliveries=JustAccepted(),
        logout_list=listing,
    )
    for router in (logouts.router, logout_list.router):
        router.append_context(dependencies=using)

    shown, listed = logouts.get("idp", "l1"), logout_list.list_logouts("idp")

    assert (shown.mass_logout_id, [each.mass_logout_id for each in listed.logouts]) == (mass_logout, [mass_logout])


def test_a_logout_that_is_settled_is_not_shown_with_a_delivery_that_is_pending() -> None:
    found = Logout("l1", "idp", QUEUED.issuer, AT, AT, sid="s1", fanned_out_at=AT, matched=1)
    using = SimpleNamespace(
        providers=SimpleNamespace(get=lambda _: SimpleNamespace(issuer=QUEUED.issuer)),
        logouts=SimpleNamespace(get=lambda *_: found),
        deliveries=JustAccepted(),
    )
    logouts.router.append_context(dependencies=using)

    shown = logouts.get("idp", "l1")

    assert not (shown.settled and any(each.status == Status.QUEUED for each in shown.deliveries))
