"""docs/relying-parties/: each page's registration is made, and the RP is sent the tokens that the page chooses."""

import base64
import json
from pathlib import Path

import pytest

from tests.stack.conftest import MakeRelyingParty
from tests.support.provider import LOOPBACK, Provider
from tests.support.snippets import exchanges
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.senders

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "relying-parties").glob("*.md"))
INDEX = next(page for page in PAGES if page.stem == "index").read_text()
NAMES = [page.stem for page in PAGES if page.stem != "index"]
NAMED = {"sid_only": {"sid"}, "sub_only": {"sub"}, "both": {"sub", "sid"}}
"""What a token about one session names, by the client's ``subject``."""


@pytest.mark.parametrize("name", NAMES)
def test_the_registration_on_a_page_is_taken_and_chooses_what_tokens_name(
    name: str, provider: Provider, relying_party: MakeRelyingParty
) -> None:
    (exchange,) = exchanges(next(page for page in PAGES if page.stem == name).read_text())
    members, rp, sub, sid = json.loads(exchange.body), relying_party(), new_id("sub"), new_id("sid")
    here = {**members, "backchannel_logout_uri": rp.uri(), "allowed_networks": LOOPBACK}

    registered = provider.put("/clients/wiki", here)
    provider.start("wiki", sub=sub, sid=sid)
    provider.wait_until(provider.end_session(sid), "accepted")

    (token,) = rp.tokens
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    subject = members.get("subject", "both")
    assert here.items() <= registered.items()
    assert members["backchannel_logout_uri"].startswith("https://")
    assert {"sub", "sid"} & claims.keys() == NAMED[subject]
    required = ", required" if members.get("backchannel_logout_session_required") else ""
    assert f"({name}.md) |" in INDEX
    assert f"| `{subject}`{required} |" in next(line for line in INDEX.splitlines() if f"({name}.md) |" in line)
