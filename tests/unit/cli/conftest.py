import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from backchannel_cli.__main__ import run
from tests.support.command import Command, Ended

SOURCES = Path(__file__).resolve().parents[3] / "cli" / "src"
SHELL = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What the command sees of a shell in these tests."""


@pytest.fixture(autouse=True)
def loopback_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command talks to servers of these tests, and sees nothing of the user's shell."""
    enable_socket()
    socket_allow_hosts(["127.0.0.1"])
    for name in [name for name in os.environ if name.startswith(("AWS_", "BACKCHANNEL_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("backchannel_cli.service.WAITS", (0.01, 0.01, 0.01))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command."""

    def ran(*arguments: str) -> Ended:
        code = run(arguments)
        return Ended(code, *capsys.readouterr())

    return ran


def program(*arguments: str) -> list[str]:
    """Return the command as a program of its own."""
    return [sys.executable, "-m", "backchannel_cli", *arguments]


def environment(**more: str) -> dict[str, str]:
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**ours, **SHELL, **more}


def ran(words: list[str], **more: str) -> Ended:
    """Run a program to its end."""
    ended = subprocess.run(  # noqa: S603 - words of these tests
        words, env=environment(**more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Api:
    """A server that answers as told: by method and path, or by the action that AWS is asked for."""

    url: str = ""
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    locations: dict[str, str] = field(default_factory=dict)
    stalls: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: str, *answers: tuple[int, Any]) -> None:
        """Give these answers, one after the other and the last for ever, to such a request as ``GET /providers``."""
        self.answers[request] = list(answers)

    def next(self, request: str) -> tuple[int, Any]:
        answers = self.answers.get(request) or self.answers.get("*") or [(404, {"code": "not_found", "detail": "nothing"})]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def changes(self) -> list[tuple[str, str, Any]]:
        return [request for request in self.requests if request[0] != "GET"]


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            action = parse_qs(body).get("Action", [""])[0]
            api.requests.append((self.command, self.path, _content(body)))
            api.bodies.append(body)
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, document = api.next(action or f"{self.command} {self.path.partition('?')[0]}")
            api.stalls.wait(0 if status else 5)
            answer = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status or 200)
            self.send_header("Content-Length", str(len(answer)))
            if self.path in api.locations:
                self.send_header("Location", api.locations[self.path])
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that has gone away
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    yield api
    api.stalls.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _content(body: str) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body
