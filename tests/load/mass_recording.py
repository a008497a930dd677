"""`python -m tests.load.mass_recording [--users N] [--rate N]`: records a mass logout of two RP sessions a user.

The test of the stack suite records a small one, and compares what is shown but for its numbers.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from local.client import Stack
from tests.support.acme import Acme
from tests.support.mass_recording import record_mass_logout
from tests.support.recordings import COMMITTED, masked
from tests.support.terminal import Terminal


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.load.mass_recording")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=10, help="tokens a second, no more than the local stack carries")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / ".local").symlink_to(Path(".local").resolve())
        terminal, acme = Terminal(directory=Path(directory), patience=1800), Acme(Stack.load())
        shown = record_mass_logout(acme, terminal, wanted.users, wanted.rate)
    if shown.code == 0:
        (COMMITTED / "mass-logout.txt").write_text(masked("\n".join(terminal.transcript) + "\n"))
    print(shown.text.splitlines()[-1])
    return shown.code


if __name__ == "__main__":
    sys.exit(main())
