"""`python -m tests.load.imports`: what a cold start costs, and what the layers weigh.

The time to import each function's handler module from the built layers, and only from them, as a ratio to importing boto3 and
creating one SQS client, under the same interpreter. The two take turns, so that both meet the same machine.
"""

import io
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3

from local.client import Stack

BUILD = Path(".local/build")
LAYERS = [BUILD / "DependenciesLayer", BUILD / "BackchannelLayer"]
FUNCTIONS = ["WebhookFunction", "SessionEndedFunction", "DeliveryFunction", "AdminFunction", "DiscoveryFunction"]
LIMITED = {"WebhookFunction", "SessionEndedFunction", "DeliveryFunction"}
RATIO_LIMIT = 1.5
SIZE_LIMIT = 25_000_000
ROUNDS = 15
BASELINE = "import boto3; boto3.client('sqs')"
TIMED = """
import sys, time
sys.path[:0] = {paths!r}
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""


def seconds(code: str, paths: list[str], environment: dict[str, str]) -> float:
    """Run code in a fresh interpreter without site-packages and return how long it took."""
    paths = [*paths, *(str((layer / "python").resolve()) for layer in LAYERS)]
    script = TIMED.format(paths=paths, code=code)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


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
        measured = [
            (
                seconds(BASELINE, [], environment),
                seconds("import app", [str((BUILD / function).resolve())], environment),
            )
            for _ in range(ROUNDS)
        ]
        ratio = statistics.median(handler / baseline for baseline, handler in measured)
        baseline, handler = (statistics.median(times) * 1000 for times in zip(*measured, strict=True))
        limit = f" (at most {RATIO_LIMIT})" if function in LIMITED else ""
        print(f"import {function:<22} {handler:4.0f} ms, boto3 with one SQS client {baseline:4.0f} ms: ratio {ratio:.2f}{limit}")
        good &= function not in LIMITED or ratio <= RATIO_LIMIT
    size = sum(zipped(layer) for layer in LAYERS)
    print(f"layers, zipped: {size / 1e6:.1f} MB (at most {SIZE_LIMIT / 1e6:.0f})")
    return 0 if good and size <= SIZE_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
