"""Altered and broken webhooks of every format, in a small number; `make soak` makes a million."""

from random import Random

import pytest

from backchannel.webhooks.formats import FORMATS
from tests.support.sender import Sender
from tests.support.senders import SENDERS, check_altered, check_garbled


def test_every_format_is_attacked() -> None:
    assert {sender.format for sender in SENDERS} == FORMATS.keys()


_IDS = [f"{number}-{sender.format}" for number, sender in enumerate(SENDERS)]


@pytest.mark.parametrize("sender", SENDERS, ids=_IDS)
def test_what_was_altered_on_its_way_is_refused_or_means_what_it_meant(sender: Sender) -> None:
    random = Random(0)  # noqa: S311 - nothing secret

    assert sum(check_altered(sender, random) for _ in range(200)) > 10, "some alterations must matter"


@pytest.mark.parametrize("sender", SENDERS, ids=_IDS)
def test_a_broken_event_is_refused_or_read_as_something_well_formed(sender: Sender) -> None:
    random = Random(0)  # noqa: S311 - nothing secret

    assert sum(check_garbled(sender, random) for _ in range(2000)) > 10, "some events must be broken"
