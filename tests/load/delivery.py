"""`python -m tests.load.delivery [--profile]`: what it costs to deliver a logout token.

Delivered tokens per CPU-second of the sending process: our delivery path without its calls to AWS, the sender that is built
into npm's oidc-provider, and the least that signs and POSTs. All sign in process and POST to the same sink, over TLS on
connections that are kept. They take turns, so that all meet the same machine.
"""

import contextlib
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import trustme

INTEROP = Path("tests/interop")
SECONDS = 0.4
ROUNDS = 13
CELLS = [(alg, concurrency) for alg in ("ES256", "RS256") for concurrency in (1, 10)]
FASTER = {("ES256", 1): 2.0, ("ES256", 10): 1.4}
"""At least so many of our tokens for one of oidc-provider's, on the same CPU time; by algorithm and concurrency."""

OVERHEAD = 1.3
"""At most so much of our CPU time for that of the bare minimum."""


class Sender:
    """A process that sends tokens when told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._stdin: IO[str] = process.stdin  # type: ignore[assignment] # it is a pipe
        self._stdout: IO[str] = process.stdout  # type: ignore[assignment]

    def rate(self, alg: str, concurrency: int) -> float:
        """Send for a while and return the tokens per CPU-second."""
        print(json.dumps({"alg": alg, "concurrency": concurrency, "seconds": SECONDS}), file=self._stdin, flush=True)
        did: dict[str, float] = json.loads(self._stdout.readline())
        return did["tokens"] / did["cpu_seconds"]


class Rates(NamedTuple):
    """Of one round: tokens per CPU-second."""

    ours: float
    theirs: float
    bare: float


@contextlib.contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that ends when its standard input does."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def sink() -> Iterator[tuple[str, str]]:
    """Run the relying party; yield its URI and the file of the authority that vouches for it."""
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        ca, certificate = Path(folder, "ca.pem"), Path(folder, "certificate.pem")
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with running(sys.executable, "-m", "tests.load.sink", str(certificate)) as process:
            assert process.stdout
            yield f"https://127.0.0.1:{int(process.stdout.readline())}/backchannel_logout", str(ca)


def measure(uri: str, ca: str) -> dict[tuple[str, int], list[Rates]]:
    """Let the three take turns."""
    with contextlib.ExitStack() as stack:
        senders = [
            Sender(stack.enter_context(running(*command, NODE_EXTRA_CA_CERTS=ca)))
            for command in (
                [sys.executable, "-m", "tests.load.senders", "ours", uri, ca],
                ["node", str(INTEROP / "sender.mjs"), uri],
                [sys.executable, "-m", "tests.load.senders", "bare", uri, ca],
            )
        ]
        return {
            # The first round connects and warms up.
            cell: [Rates(*(sender.rate(*cell) for sender in senders)) for _ in range(1 + ROUNDS)][1:]
            for cell in CELLS
        }


def report(measured: dict[tuple[str, int], list[Rates]]) -> bool:
    """Print medians and verdicts; True when all is as it should be."""
    print("delivered tokens per CPU-second")
    print("               ours  oidc-provider   bare   ours/oidc-provider   CPU ours/bare")
    good = True
    for (alg, concurrency), rounds in measured.items():
        ours, theirs, bare = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        faster = statistics.median(rates.ours / rates.theirs for rates in rounds)
        overhead = statistics.median(rates.bare / rates.ours for rates in rounds)
        fine = faster >= FASTER.get((alg, concurrency), 0) and overhead <= OVERHEAD
        good &= fine
        verdict = "" if fine else "  MISSED"
        print(f"{alg} x{concurrency:<4} {ours:8.0f} {theirs:14.0f} {bare:6.0f} {faster:20.2f} {overhead:15.2f}{verdict}")
    wanted = ", ".join(f"{ratio} for {alg} x{concurrency}" for (alg, concurrency), ratio in FASTER.items())
    print(f"wanted: ours/oidc-provider at least {wanted}; CPU ours/bare at most {OVERHEAD}")
    return good


def profile(uri: str, ca: str) -> None:
    """Print where our CPU time goes."""
    from tests.load import senders  # noqa: PLC0415 - the measuring process itself needs nothing of ours

    send = senders.ours(uri, Path(ca).read_text())
    profiler = cProfile.Profile()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        profiler.runcall(send, "ES256")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main(arguments: list[str]) -> int:
    with sink() as (uri, ca):
        if arguments == ["--profile"]:
            profile(uri, ca)
            return 0
        return 0 if report(measure(uri, ca)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
