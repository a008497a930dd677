"""The local AWS: a ministack process of this clone, on one loopback port, with nothing of the user's environment.

All tests together run on two of them. `LOCAL_STACK` names the folder below .local of the second.
"""

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"
HOME = STATE / os.environ.get("LOCAL_STACK", "")
REGION = "eu-central-1"

_BIN = ROOT / ".venv" / "ministack" / "bin"
_LOG = HOME / "ministack.log"
_RECORD = HOME / "ministack.json"
_LOCK = HOME / "ministack.lock"
_SCRATCH = HOME / "ministack"

# Below the range from which the kernel takes ports for outgoing connections, so that none is lost between choosing and listening.
_PORTS = range(20_000, 32_000)

# `make coverage` alone sets these: coverage.py then starts in every Lambda worker.
_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_FILE")


@dataclass(frozen=True, slots=True)
class Emulator:
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def running() -> Emulator | None:
    """Return the emulator of this clone, if it lives.

    It holds a lock on a file of this clone for as long as it lives. So a recorded pid is trusted only while the lock is held,
    and a pid that meanwhile belongs to another process is never taken for ours.
    """
    return Emulator(**json.loads(_RECORD.read_text())) if _is_locked() and _RECORD.exists() else None


def start() -> Emulator:
    """Start the emulator; it is ready only after `wait_until_healthy`."""
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    _SCRATCH.mkdir(parents=True)
    port = _free_port()
    with _LOCK.open("w") as lock, _LOG.open("w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            [_BIN / "ministack"],
            env=_environment(port),
            cwd=_SCRATCH,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
    emulator = Emulator(process.pid, port)
    _RECORD.write_text(json.dumps(asdict(emulator)))
    return emulator


def wait_until_healthy(emulator: Emulator, *, seconds: float = 60) -> None:
    """Poll until the emulator answers.

    Raises:
        RuntimeError: it ended, or is not ready in time; the message is the end of its log.

    """
    deadline = time.monotonic() + seconds
    while not is_healthy(emulator):
        if not _is_locked() or time.monotonic() > deadline:
            raise RuntimeError(f"ministack did not start:\n{_LOG.read_text()[-4000:]}")
        time.sleep(0.05)


def is_healthy(emulator: Emulator) -> bool:
    # Without a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{emulator.url}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def stop() -> bool:
    """End the emulator with its Lambda workers; return whether there was one.

    Its state is in memory and meant to be lost, so it is killed without ceremony; but workers that measure coverage are given
    the time to write it down.
    """
    emulator = running()
    if emulator:
        with contextlib.suppress(ProcessLookupError):
            if _COVERAGE[0] in os.environ:
                _let_workers_end(emulator, seconds=30)
            os.killpg(emulator.pid, signal.SIGKILL)
        while _is_locked():
            time.sleep(0.02)
    _RECORD.unlink(missing_ok=True)
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    return emulator is not None


@contextlib.contextmanager
def exclusively() -> Iterator[None]:
    """Let one `up` or `down` of this clone work at a time."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment(port: int) -> dict[str, str]:
    """Return all that ministack and its Lambda workers, which inherit it, see of this machine."""
    return {
        "PATH": f"{_BIN}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(_SCRATCH),
        "TMPDIR": str(_SCRATCH),
        "STATE_DIR": str(_SCRATCH),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "MINISTACK_REGION": REGION,
        "MINISTACK_HOST": "127.0.0.1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AUTH": "true",  # IAM policies are enforced
        "LAMBDA_ACCOUNT_CONCURRENCY": "50",
        # Neither ports beside the gateway's nor containers.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{_SCRATCH}/no-docker",
        **{name: os.environ[name] for name in _COVERAGE if name in os.environ},
    }


def _let_workers_end(emulator: Emulator, *, seconds: float) -> None:
    """Kill the emulator alone: its workers read their next event from it, and end in order when there is none to come."""
    os.kill(emulator.pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(emulator.pid, 0)
            time.sleep(0.05)


def _is_locked() -> bool:
    try:
        with _LOCK.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _free_port() -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")
