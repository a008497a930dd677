"""Runs last: nothing that the tests made the functions do has left a token, a secret, a subject or a session in a log."""

import base64
import json
import re
import secrets
from collections.abc import Iterable

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support import unspeakable
from tests.support.aws import Aws
from tests.support.polling import until
from tests.support.provider import SOURCE, Provider, new_secret
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

pytestmark = [pytest.mark.alone, pytest.mark.quiet, pytest.mark.late]  # last on either local stack


_SHORTEST = 16
_SEPARATORS = re.compile(r'[\s"]+')


@pytest.fixture
def eventful(provider: Provider, relying_party: MakeRelyingParty, aws: Aws) -> str:
    """Do what leads along as many log statements as possible; return the last logout's id."""
    sub, sid = new_id("sub"), new_id("sid")
    echoing = relying_party(Answer(400, b'{"error": "bad", "error_description": "%s"}' % sid.encode()))
    for client_id in (provider.register_client(relying_party()), provider.register_client(echoing), "unregistered"):
        provider.start(client_id, sub=sub, sid=sid)
    provider.webhook("session.ended", sid=sid, sub="")
    provider.webhook("session.ended", sid=sid + "\n")
    provider.stack.webhook(provider.name, SOURCE, new_secret(), "id", {"sid": sid, "sub": sub})
    provider.signed(f'{{"type": "{sid}", "data": {sub}}}'.encode())
    for document in ({"sub": sub, "sid": sid}, {"sub": sub, "unknown": sid}):
        provider.stack.admin("POST", f"{provider.path}/logouts", document)
    provider.stack.admin("PUT", f"{provider.path}/sources/other", {"format": "standard-webhooks", "secret": new_secret() + "!"})
    provider.rp_sessions(sub=sub)
    provider.end_session(sid)
    aws.wait_until_handled(provider.name)
    logout = provider.end_subject(sub)
    aws.wait_until_handled(provider.name)
    return logout


@pytest.mark.usefixtures("eventful")
def test_no_log_contains_a_token_a_secret_a_subject_or_a_session(aws: Aws, began: float) -> None:
    marker = f"marker-{secrets.token_hex(8)}"
    aws.send("DeliveryQueue", marker)
    assert until(lambda: aws.take("DeliveryDeadLetterQueue", marker))
    until(lambda: [line for line in aws.log_lines("DeliveryLogGroup", began) if "message.dead_lettered" in line])

    noted = unspeakable.noted(began)
    logged = {group: "\n".join(aws.log_lines(group, noted.began)) for group in aws.log_groups()}

    assert "delivery.attempted" in logged["DeliveryLogGroup"]
    assert "session.ended" in logged["SessionEndedLogGroup"]
    assert "webhook.received" in logged["WebhookLogGroup"]
    assert "request.refused" in logged["AdminLogGroup"]
    assert len(noted.values) > 5
    for group, text in logged.items():
        assert _spoken(noted.values, text) == [], group


@pytest.mark.parametrize("text", ['{"sub": "%s"}', "x%sx", "%s", 'sub="%s"\nother'])
def test_what_a_log_contains_is_found(text: str) -> None:
    value, other = (f"sub-{secrets.token_hex(12)}" for _ in range(2))
    token = f"eyJhbGciOiJub25lIn0.e30.{secrets.token_urlsafe(32)}"
    spaced = f"Bearer {secrets.token_urlsafe(24)}"

    for said in (value, value[:20], base64.b64encode(value.encode()).decode()):
        assert _spoken({value, other}, text % said) == [value]
    assert _spoken({token, other}, text % token.rpartition(".")[2]) == [token]
    assert _spoken({spaced, other}, text % spaced) == [spaced]
    assert _spoken({value, other}, text % value[:19]) == []


def test_logs_are_keys_and_values(aws: Aws, began: float, eventful: str) -> None:
    lines = until(lambda: [line for line in aws.log_lines("SessionEndedLogGroup", began) if eventful in line])

    record = json.loads(lines[-1])
    assert (record["message"], record["logout_id"]) == ("session.ended", eventful)


def _spoken(values: Iterable[str], text: str) -> list[str]:
    """Return the values of which some form is in a text.

    Both are large. So each place in a word of the text is looked at once, for the beginning of any form.
    """
    forms = {value: _forms(value) for value in values}
    beginnings = {form[:_SHORTEST] for each in forms.values() for form in each}
    words = {word for word in _SEPARATORS.split(text) if len(word) >= _SHORTEST}
    begun = beginnings.intersection(word[at : at + _SHORTEST] for word in words for at in range(len(word) - _SHORTEST + 1))
    begun |= {beginning for beginning in beginnings if _SEPARATORS.search(beginning)}
    return [value for value, each in forms.items() if any(form[:_SHORTEST] in begun and form in text for form in each)]


def _forms(value: str) -> list[str]:
    """Return a value as it is, and as it would look within JSON, a URL, base64, or cut to half its length.

    What is too short to be anybody's is left out: not every token that tests send is a whole one.
    """
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    signature = value.rpartition(".")[2]
    return [form for form in (value[: max(20, len(value) // 2)], encoded, signature) if len(form) >= _SHORTEST]
