"""The Node programs of this folder, running from the entry to the exit of a `with`."""

import json
import os
import subprocess
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent

_READY_WITHIN_S = 30.0
_ENDED_WITHIN_S = 10.0


@contextmanager
def running(program: str, config: Mapping[str, Any]) -> Generator[dict[str, Any]]:
    """Run a program with its configuration and yield what it printed when it was ready.

    Its standard error is the test run's own, so pytest shows it beside a failure.

    Raises:
        RuntimeError: it was not ready in time, or could not start.
    """
    if not (HERE / "node_modules").is_dir():
        msg = "the Node packages are missing: npm ci --prefix tests/interop"
        raise RuntimeError(msg)
    process = subprocess.Popen(  # noqa: S603 - our own program, with our own configuration
        ["node", str(HERE / program), json.dumps(config)],  # noqa: S607 - whichever node this machine has
        stdin=subprocess.PIPE,  # the program ends when this closes, so also when pytest is killed
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},  # no proxies: everything is on loopback
    )
    try:
        assert process.stdout
        yield _ready_line(process, process.stdout)
    finally:
        process.terminate()
        try:
            process.wait(_ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _ready_line(process: subprocess.Popen[str], stdout: IO[str]) -> dict[str, Any]:
    too_late = threading.Timer(_READY_WITHIN_S, process.kill)
    too_late.start()
    try:
        for line in stdout:
            if line.startswith("{"):
                ready: dict[str, Any] = json.loads(line)
                return ready
    finally:
        too_late.cancel()
    msg = f"{process.args!r} was not ready within {_READY_WITHIN_S} s"
    raise RuntimeError(msg)
