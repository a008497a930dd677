"""Whom an earlier logout has told is not released again; whoever may still have to be told is."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from backchannel.aws.dynamodb import Page
from backchannel.deliveries.records import delivery_key
from backchannel.logouts.mass.chunks import Segment
from backchannel.logouts.mass.reader import Reader
from backchannel.logouts.mass.records import MassLogout
from backchannel.logouts.mass.told import Told
from backchannel.reasons import Reason
from backchannel.sessions.rp_sessions import RpSession
from tests.support.aws_responses import response

NOW = 1_788_256_800_000
LIVE = RpSession("wiki", "ada", NOW - 9, "s1")
ENDED = RpSession("wiki", "ada", NOW - 9, "s1", ended_by="l1", fanout_id="f1", reason=Reason.LOGOUT)
MASS = MassLogout("m1", "acme", "https://idp.example", "s", NOW, NOW, Reason.COMPROMISED, 9, 9, "arn", subjects=1)


@dataclass
class DeliveriesTable:
    """A table with the statuses of some deliveries, which leaves all but one key of each request for the next."""

    statuses: dict[tuple[str, str], str]
    asked: int = field(default=0)

    def told(self) -> Told:
        client = boto3.client("dynamodb", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.meta.events.register("before-send.dynamodb", self._answer)  # type: ignore[arg-type] # what it returns is the answer
        return Told(client, "deliveries")

    def _answer(self, request: AWSRequest, **_: object) -> AWSResponse:
        self.asked += 1
        wanted = json.loads(request.body)["RequestItems"]["deliveries"]
        first, *others = wanted["Keys"]
        status = self.statuses.get((first["pk"]["S"], first["sk"]["S"]))
        found = [] if status is None else [{**first, "status": {"S": status}}]
        left = {"deliveries": {**wanted, "Keys": others}} if others else {}
        return response(request, 200, json.dumps({"Responses": {"deliveries": found}, "UnprocessedKeys": left}).encode())


def table(**statuses: str) -> DeliveriesTable:
    """Return the deliveries of a logout to one client: by the session's sid, or for the whole subject."""
    sids = {"by_sid": "s1", "by_sub": None}
    return DeliveriesTable({("l1", delivery_key("wiki", sids[name])): status for name, status in statuses.items()})


@pytest.mark.parametrize(
    ("statuses", "is_told"),
    [
        ({"by_sid": "accepted"}, True),
        ({"by_sub": "accepted"}, True),
        ({"by_sid": "accepted", "by_sub": "accepted"}, True),
        ({"by_sid": "retrying"}, False),
        ({"by_sid": "accepted", "by_sub": "superseded"}, False),
        ({"by_sid": "suppressed"}, False),
        ({}, False),
    ],
)
def test_a_session_is_told_of_once_all_that_could_tell_of_it_is_accepted(
    statuses: dict[str, str],
    is_told: bool,  # noqa: FBT001 - a row
) -> None:
    deliveries = table(**statuses)

    assert deliveries.told().untold([ENDED]) == ([] if is_told else [ENDED])
    assert deliveries.asked == 2  # what DynamoDB leaves unprocessed is asked for again


def test_a_session_that_nobody_has_ended_takes_no_look() -> None:
    deliveries = table()

    assert deliveries.told().untold([LIVE]) == [LIVE]
    assert deliveries.asked == 0


def test_where_all_clients_are_told_a_session_that_was_told_of_is_looked_after_all_the_same() -> None:
    told = table(by_sid="accepted").told()

    assert told.untold_by("all_clients")([ENDED]) == [ENDED]
    assert told.untold_by("sessions")([ENDED]) == []


def test_a_listed_subject_who_was_told_of_costs_no_rate() -> None:
    tables: Any = _Listed()
    reader = Reader(tables, tables, table(by_sid="accepted").told().untold, lambda: NOW)

    ((_, _, (entry,)),) = reader.read(MASS, [Segment(0)], NOW)

    assert (entry.sub, dict(entry.sids), entry.sessions) == ("ada", {}, 0)


class _Listed:
    """A list of one subject, and the RP session of it."""

    def subjects(self, _: str, number: int) -> list[str] | None:
        return ["ada"] if number == 0 else None

    def page(self, *_: object, **__: object) -> Page[RpSession]:
        return cast("Page[RpSession]", Page([ENDED], None))
