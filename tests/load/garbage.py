"""`python -m tests.load.garbage [--inputs N] [--seed N]`: broken and altered webhooks, for every format.

Altered on its way, a webhook is refused; made wrongly by its own sender, it is refused or read as something well formed. Nothing
else may happen, whatever the octets. What failed is printed with the seed that shows it again.
"""

import argparse
import sys
import time
from random import Random, SystemRandom

from tests.support.sender import Sender
from tests.support.senders import SENDERS, check_altered, check_garbled

INPUTS = 1_000_000
ALTERED = 0.02
"""Of all inputs. Each costs a signature; the others cost a parser's time."""


def check(sender: Sender, seed: int) -> bool:
    """Make one input and check it; True if it is refused."""
    random = Random(seed)  # noqa: S311 - nothing secret
    return (check_altered if random.random() < ALTERED else check_garbled)(sender, random)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**48))
    arguments = parser.parse_args()
    began, refused = time.monotonic(), 0
    for number in range(arguments.inputs):
        seed, sender = arguments.seed + number, SENDERS[number % len(SENDERS)]
        try:
            refused += check(sender, seed)
        except Exception as error:  # noqa: BLE001 - any other exception is what we look for
            print(f"garbage: {sender.format}: {error!r}; show it again with --seed {seed} --inputs {len(SENDERS)}")
            return 1
    seconds = time.monotonic() - began
    print(f"garbage: {arguments.inputs} webhooks, {refused} refused, nothing undeclared, {seconds:.0f} s (seed {arguments.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
