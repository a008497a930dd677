"""`python -m tests.load.imports`: what a cold start costs, and what the layers weigh.

The CPU time to import each function's handler module from the built layers, and only from them, as a ratio to importing boto3
and creating one SQS client, under the same interpreter. The two take turns, so that both meet the same machine. The start of the
interpreter does not count. What the threads that an import has started do after it is shown beside it.
"""

import io
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import boto3

from local.client import Stack

BUILD = Path(".local/build")
LAYERS = [BUILD / "DependenciesLayer", BUILD / "BackchannelLayer"]
FUNCTIONS = [
    "WebhookFunction",
    "SourceEventsFunction",
    "SessionEndedFunction",
    "DeliveryFunction",
    "MassLogoutFunction",
    "EventsOutFunction",
    "AdminFunction",
    "DiscoveryFunction",
    "CognitoSignInFunction",
]
LIMITS = {
    **dict.fromkeys(("WebhookFunction", "SourceEventsFunction", "SessionEndedFunction", "DeliveryFunction"), 1.5),
    "CognitoSignInFunction": 0.3,  # users wait for it
}
SIZE_LIMIT = 25_000_000
ROUNDS = 15
BASELINE = "import boto3; boto3.client('sqs')"
TIMED = """
import sys, threading, time
sys.path[:0] = {paths!r}
began = time.process_time()
{code}
imported = time.process_time()
for thread in threading.enumerate():
    thread is threading.main_thread() or thread.join()
print(imported - began, time.process_time() - imported)
"""


class CpuTime(NamedTuple):
    """Seconds until the code had run, and seconds that its threads took after that."""

    run: float
    afterwards: float


def cpu_time(code: str, paths: list[str], environment: dict[str, str]) -> CpuTime:
    """Run code in a fresh interpreter without site-packages and return the CPU time that it took."""
    paths = [*paths, *(str((layer / "python").resolve()) for layer in LAYERS)]
    script = TIMED.format(paths=paths, code=code)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return CpuTime(*map(float, done.stdout.splitlines()[-1].split()))


def environment_of(stack: Stack, function: str) -> dict[str, str]:
    """Return what the deployed function finds in its environment."""
    functions = boto3.client("lambda", endpoint_url=stack.endpoint_url, region_name=stack.region)
    configuration = functions.get_function_configuration(FunctionName=stack.functions[function])
    return {"AWS_REGION": stack.region, "AWS_DEFAULT_REGION": stack.region, **configuration["Environment"]["Variables"]}


def zipped(layer: Path) -> int:
    """Return the size of a layer's zip file in bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(layer.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(layer))
    return buffer.tell()


def main() -> int:
    stack = Stack.load()
    good = True
    for function in FUNCTIONS:
        environment = environment_of(stack, function)
        handler = str((BUILD / function).resolve())
        measured = [(cpu_time(BASELINE, [], environment), cpu_time("import app", [handler], environment)) for _ in range(ROUNDS)]
        ratio = statistics.median(imported.run / baseline.run for baseline, imported in measured)
        run, afterwards = (statistics.median(times) * 1000 for times in zip(*(each for _, each in measured), strict=True))
        baseline = statistics.median(each.run for each, _ in measured) * 1000
        limit = f" (at most {LIMITS[function]})" if function in LIMITS else ""
        print(
            f"import {function:<22} {run:4.0f} ms of CPU time, {afterwards:3.0f} ms afterwards;"
            f" boto3 with one SQS client {baseline:4.0f} ms: ratio {ratio:.2f}{limit}"
        )
        good &= ratio <= LIMITS.get(function, ratio)
    size = sum(zipped(layer) for layer in LAYERS)
    print(f"layers, zipped: {size / 1e6:.1f} MB (at most {SIZE_LIMIT / 1e6:.0f})")
    return 0 if good and size <= SIZE_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
