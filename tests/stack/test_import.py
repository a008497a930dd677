"""Sessions from before the installation are imported, so that the first logout misses nobody; docs/import.md, run."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import batched
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from backchannel.providers.table import Provider as StoredProvider
from backchannel.sessions.events import RpSessionStarted
from backchannel.sessions.intake import Intake, Taken
from backchannel.sessions.table import Sessions
from local.client import Response, Stack
from tests.stack.conftest import MakeRelyingParty
from tests.stack.tokens import verified
from tests.support.counted_calls import CountedCalls
from tests.support.polling import until
from tests.support.provider import Json, Provider
from tests.support.queues import FakeQueue
from tests.support.servers import LoopbackServer
from tests.support.snippets import blocks, sections
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second

DOCUMENT = sections((Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text())
LONG_AGO = datetime.now(UTC) - timedelta(days=3)
TOKEN = "an-access-token"


def line(sub: str, client_id: str, sid: str, **more: object) -> Json:
    return {"sub": sub, "client_id": client_id, "sid": sid, "started_at": LONG_AGO.isoformat(), **more}


def send(provider: Provider, lines: Iterable[Json | str], *, kind: str = "application/x-ndjson") -> Response:
    body = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines).encode()
    return provider.stack.request("POST", f"{provider.path}/sessions", body=body, headers={"Content-Type": kind}, signed=True)


def imported(provider: Provider, lines: Sequence[Json | str]) -> Json:
    response = send(provider, lines)
    assert response.status == 202, response
    answer: Json = response.body
    return answer


def test_so_that_the_first_logout_after_the_installation_misses_nobody(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rps = {provider.register_client(rp): rp for rp in (relying_party() for _ in range(3))}
    wiki, mail, chat = rps
    ada, ben, eve = (new_id("sub") for _ in range(3))
    laptop, phone, bens, eves = (new_id("sid") for _ in range(4))

    # 250 sessions from before, and Eve has logged out while they were being written down.
    of_interest = [
        *(line(ada, client_id, laptop) for client_id in rps),
        line(ada, wiki, phone),
        line(ben, mail, bens, client_sub="pairwise-ben"),
        line(eve, chat, eves),
    ]
    others = [line(f"user-{number}", wiki, secrets.token_hex(8)) for number in range(244)]
    eves_logout = provider.end_session(eves)
    until(lambda: provider.stack.admin("GET", f"{provider.path}/logouts/{eves_logout}")[1].get("fanned_out"))
    first, second, third = batched([*of_interest, *others], 100, strict=False)

    # The first part is sent twice, since its sender saw no answer; a damaged line of the second is sent again once corrected.
    assert imported(provider, first) == {"started": 100, "ended": 1, "refused": []}
    again = imported(provider, first)
    damaged: list[Json | str] = [*second[:6], json.dumps(second[6])[:-9], *second[7:]]
    answer = imported(provider, damaged)
    assert (answer["started"], [each["line"] for each in answer["refused"]]) == (99, [7])
    assert imported(provider, [second[6]])["refused"] == []
    assert imported(provider, third) == {"started": 50, "ended": 0, "refused": []}
    assert again["started"] == 100

    # Eve is told at once; then Ada logs out at her laptop, and all of Ben's sessions end.
    provider.wait_until(eves_logout, "accepted")
    provider.wait_until(provider.end_session(laptop), "accepted", "accepted", "accepted")
    provider.wait_until(provider.end_subject(ben), "accepted")

    told = {client_id: [verified(provider, token).claims for token in rp.tokens] for client_id, rp in rps.items()}
    assert [each["sid"] for each in told[wiki]] == [laptop]
    assert sorted((each["sub"], each.get("sid")) for each in told[mail]) == sorted([(ada, laptop), ("pairwise-ben", None)])
    assert sorted(each["sid"] for each in told[chat]) == sorted([eves, laptop])
    assert [each["ended_at"] for each in provider.rp_sessions(sid=phone)] == [None], "her phone stays logged in"


# --- What a part may be -----------------------------------------------------------------------------------------------


def test_a_session_that_ended_meanwhile_is_told_once_however_often_its_part_is_sent(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp, sid, sub = relying_party(), new_id("sid"), new_id("sub")
    part = [line(sub, provider.register_client(rp), sid)]
    logout = provider.end_session(sid)

    imported(provider, part)
    provider.wait_until(logout, "accepted")
    time.sleep(0.5)

    assert imported(provider, part) == {"started": 1, "ended": 0, "refused": []}
    assert len(rp.requests) == 1


def test_a_newer_login_is_not_hidden_by_an_older_one_that_is_imported(
    provider: Provider, relying_party: MakeRelyingParty
) -> None:
    rp, sid, sub = relying_party(), new_id("sid"), new_id("sub")
    client_id = provider.register_client(rp)
    provider.start(client_id, sub=sub, sid=sid)

    imported(provider, [line(sub, client_id, sid)] * 2)

    (session,) = provider.rp_sessions(sid=sid)
    assert datetime.fromisoformat(session["started_at"]) > LONG_AGO + timedelta(days=1)
    stolen = provider.end_subject(sub, at=LONG_AGO + timedelta(hours=1), reason="compromised")
    assert provider.wait_for(stolen, lambda found: any(each["status"] == "accepted" for each in found))


@pytest.mark.parametrize(
    ("lines", "kind", "status", "code"),
    [
        ([line("ada", "wiki", "s1")] * 101, "application/x-ndjson", 413, "payload_too_large"),
        ([" " * 1_048_576], "application/x-ndjson", 413, "payload_too_large"),
        (["", " "], "application/x-ndjson", 400, "malformed_request"),
        ([line("ada", "wiki", "s1")], "text/csv", 415, "content_type_unsupported"),
        ([line("ada", "wiki", "s1")] * 2, "application/json", 400, "malformed_request"),
    ],
)
def test_a_part_that_is_too_large_or_of_another_type_is_refused_as_a_whole(
    shared_provider: Provider, lines: list[Json | str], kind: str, status: int, code: str
) -> None:
    response = send(shared_provider, lines, kind=kind)

    assert (response.status, response.body["code"]) == (status, code)


def test_octets_that_are_no_utf_8_are_refused_in_their_line_alone(provider: Provider) -> None:
    good, bad = new_id("sub"), b'{"sub": "z\xfc", "client_id": "wiki", "sid": "s1", "started_at": "2026-09-01T08:00:00Z"}\r\n'
    body = b"\xef\xbb\xbf" + bad + json.dumps(line(good, "wiki", new_id("sid"))).encode()

    response = provider.stack.request(
        "POST", f"{provider.path}/sessions", body=body, headers={"Content-Type": "application/x-ndjson"}, signed=True
    )

    assert [(each["line"], each["code"]) for each in response.body["refused"]] == [(1, "malformed_request")]
    assert len(provider.rp_sessions(sub=good)) == 1


def test_nothing_is_imported_to_a_provider_that_is_not_there(stack: Stack) -> None:
    assert send(Provider(stack), [line("ada", "wiki", "s1")]).status == 404


def test_a_part_that_is_sent_again_costs_reads_alone(stack: Stack) -> None:
    counted, issuer = CountedCalls(stack), f"https://idp.example/{secrets.token_hex(8)}"
    intake = Intake(Sessions(counted.client("dynamodb"), stack.tables["SessionsTable"]), FakeQueue())
    now = round(time.time() * 1000)
    starts = [RpSessionStarted(f"user-{number}", "wiki", now - 1000, f"s-{number}") for number in range(100)]
    acme = StoredProvider("acme", issuer, ())

    assert intake.take(acme, starts, now) == Taken(started=100)
    first, counted.calls = dict(counted.calls), type(counted.calls)()
    assert intake.take(acme, starts, now + 1) == Taken(started=100)

    assert first.pop("TransactWriteItems") == 2
    assert first.keys() == counted.calls.keys() == {"BatchGetItem"}


# --- The document -----------------------------------------------------------------------------------------------------


def run(program: Path, command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own document
        [*command, program.name],
        cwd=program.parent,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_the_document_sends_a_file_in_parts(provider: Provider, tmp_path: Path) -> None:
    ((_, loop),) = blocks(DOCUMENT["Sending it without the command"], "sh")
    sub = new_id("sub")
    lines = [line(sub, f"client-{number}", new_id("sid")) for number in range(101)]
    del lines[6]["started_at"]
    (tmp_path / "sessions.ndjson").write_text("".join(json.dumps(each) + "\n" for each in lines))
    (tmp_path / "send.sh").write_text(loop)

    said = run(
        tmp_path / "send.sh",
        ["/bin/sh", "-eu"],
        API=provider.stack.api_url,
        PROVIDER=provider.name,
        AWS_REGION=provider.stack.region,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_SESSION_TOKEN="",
    )

    (first, answer), (second, rest) = (each.split(" ", 1) for each in said.splitlines())
    ((_, shown),) = blocks(DOCUMENT["Sending it without the command"], "json")
    assert (first, json.loads(answer)) == ("part.aa", json.loads(shown))
    assert (second, json.loads(rest)) == ("part.ab", {"started": 1, "ended": 0, "refused": []})


def test_the_line_of_the_document_is_stored(provider: Provider) -> None:
    ((_, shown),) = blocks(DOCUMENT["What a line has"], "json")

    assert imported(provider, [shown.strip()]) == {"started": 1, "ended": 0, "refused": []}


class Imitation:
    """A provider's API, as its source has it: lists in pages, for who has the token."""

    def __init__(self, pages: Json) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                is_allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
                content = json.dumps(pages[url.path](query)).encode() if is_allowed else b"{}"
                self.send_response(200 if is_allowed else 401)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = LoopbackServer(Handler)

    def __enter__(self) -> str:
        self._server.__enter__()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()


def lines_of(provider: str, tmp_path: Path, **environment: str) -> list[Json]:
    ((_, program),) = blocks(DOCUMENT[provider], "python")
    (tmp_path / "export.py").write_text(program)
    written = run(tmp_path / "export.py", [sys.executable], TOKEN=TOKEN, **environment).splitlines()
    return [json.loads(each) for each in written]


def keycloak(sessions: Sequence[Json]) -> Iterator[tuple[str, Any]]:
    """Return the pages of a realm with a client that has these sessions, and one that has none."""

    def page_of(found: Sequence[Json]) -> Any:
        return lambda query: found[int(query["first"]) :][: int(query["max"])]

    clients = [{"id": "uuid-1", "clientId": "wiki"}, {"id": "uuid-2", "clientId": "account-console"}]
    yield "/admin/realms/customer/clients", page_of(clients)
    yield "/admin/realms/customer/clients/uuid-1/user-sessions", page_of(sessions)
    yield "/admin/realms/customer/clients/uuid-2/user-sessions", page_of([])


def test_what_keycloak_lists_is_imported(provider: Provider, tmp_path: Path) -> None:
    sub, start = new_id("sub"), round(LONG_AGO.timestamp()) * 1000
    sessions = [
        {
            "id": new_id("sid"),
            "userId": sub,
            "username": "ada",
            "start": start,
            "lastAccess": start,
            "clients": {"uuid-1": "wiki"},
        }
        for _ in range(250)
    ]
    with Imitation(dict(keycloak(sessions))) as url:
        lines = lines_of("Keycloak", tmp_path, ADMIN_URL=f"{url}/admin/realms/customer")

    assert [each["sid"] for each in lines] == [each["id"] for each in sessions]
    assert imported(provider, lines[:1])["refused"] == []
    (stored,) = provider.rp_sessions(sub=sub)
    assert (stored["client_id"], stored["sid"]) == ("wiki", sessions[0]["id"])
    assert round(datetime.fromisoformat(stored["started_at"]).timestamp() * 1000) == start


def test_what_authentik_lists_is_imported(provider: Provider, tmp_path: Path) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    claims = {"iss": "https://auth.example.com/", "sub": sub, "aud": "wiki", "auth_time": round(LONG_AGO.timestamp()), "sid": sid}
    token = {"pk": 1, "is_expired": False, "id_token": json.dumps(claims)}
    machine = {"pk": 2, "is_expired": False, "id_token": json.dumps({**claims, "sid": None})}

    def page(query: Json) -> Json:
        return {"pagination": {"next": 0 if query["page"] == "2" else 2}, "results": [token, machine]}

    pages = {f"/api/v3/oauth2/{kind}/": page for kind in ("access_tokens", "refresh_tokens")}
    with Imitation(pages) as url:
        lines = lines_of("authentik", tmp_path, AUTHENTIK_URL=url)

    assert imported(provider, lines) == {"started": 1, "ended": 0, "refused": []}
    (stored,) = provider.rp_sessions(sid=sid)
    assert (stored["client_id"], stored["sub"]) == ("wiki", sub)
