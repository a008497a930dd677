"""An Amazon Cognito user pool, as far as the service sees one: its events in SourceEventsQueue, and its trigger."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import Json
from tests.support.samples import People
from tests.support.unspeakable import note
from tests.unit.fakes import sample

REGION = "eu-central-1"
SOURCE = "trail"

SUBS = ("c0600000-0000-4000-8000-00000000ada1", "8f3c0000-0000-4000-8000-000000000001")
POOLS = ("eu-central-1_AbCdEfGhI", "eu-central-1_ExAmPlE00")
CLIENT = "1example23456789abcdefghij"


def issuer_of(pool: str) -> str:
    return f"https://cognito-idp.{REGION}.amazonaws.com/{pool}"


@dataclass
class UserPool(People):
    """A provider that is a user pool, and its people."""

    aws: Aws = field(kw_only=True)

    @property
    def id(self) -> str:
        return self.provider.issuer.rpartition("/")[2]

    def of_now(self, name: str) -> Json:
        """Return a sample as if it happened now, here, to the people of this test."""
        text = json.dumps(sample(f"{name}.json"))
        names = dict.fromkeys(SUBS, note(self.sub)) | dict.fromkeys(POOLS, self.id) | {CLIENT: "wiki"}
        for known, here in names.items():
            text = text.replace(known, here)
        document: Json = json.loads(text)
        if "detail" in document:
            document["detail"] |= {"eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "eventID": self.event_id}
        return document

    def message(self, event: Json) -> str:
        """Return what a rule's target sends."""
        return json.dumps({"provider": self.provider.name, "source": SOURCE, "event": event})

    def sign_in(self, event: Any) -> Any:
        """Invoke the trigger, and return what it returns."""
        client = self.aws.client("lambda")
        name = self.aws.stack.functions["CognitoSignInFunction"]
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        content = answer["Payload"].read()
        assert "FunctionError" not in answer, content
        return json.loads(content)

    def waiting(self) -> list[Json]:
        """Return what is in SourceEventsQueue: events with the provider's name, and sign-ins with the pool's."""
        return [each for word in (self.provider.name, self.id) for each in self.aws.messages("SourceEventsQueue", word)]

    def wait_until_taken(self) -> None:
        """Wait until nothing of this pool is left in SourceEventsQueue."""
        until(self.waiting, holds=lambda left: left == [])

    def counts(self) -> Json:
        """Return what was counted of the source, without zeros."""
        counts = self.provider.get(f"/sources/{SOURCE}")["activity"]["counts"]
        return {name: count for name, count in counts.items() if count}
