"""`python -m local.stack up` builds the template and deploys it to the local AWS; `down` stops the local AWS.

`up` writes what it deployed, and where, to .local/stack.json, or to the folder of the stack that `LOCAL_STACK` names.
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from local import emulator
from local.emulator import HOME, REGION, ROOT, STATE, Emulator
from local.parameters import overrides

ENVIRONMENT = "local"
STACK_NAME = "backchannel-local"
STAGE = "live"
BUCKET = "backchannel-local"

_RECORD = HOME / "stack.json"
_BUILD = STATE / "build"
_BUILT = STATE / "build.sha256"
_LOG = HOME / "sam.log"
_SAM = ROOT / ".venv" / "sam" / "bin" / "sam"
_ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")


def up() -> None:
    started = time.monotonic()
    sources = _sources()
    running = emulator.running()
    if running and emulator.is_healthy(running) and _deployed() == sources:
        print(f"local stack: already up to date at {running.url}")
        return
    _RECORD.unlink(missing_ok=True)
    if running is None:
        print("local stack: starting ministack", flush=True)
        running = emulator.start()
    if not _BUILT.exists() or _BUILT.read_text() != sources:
        print("local stack: building", flush=True)
        _BUILT.unlink(missing_ok=True)
        _build()
        _BUILT.write_text(sources)
    emulator.wait_until_healthy(running)
    print("local stack: deploying", flush=True)
    _deploy(running)
    _make_concurrencies_numbers(running)
    description = _describe(running)
    _tell_public_url(running, description)
    _write_atomically(_RECORD, json.dumps(description | {"sources": sources}, indent=2))
    print(f"local stack: up at {running.url} after {time.monotonic() - started:.0f} s")


def down() -> None:
    _RECORD.unlink(missing_ok=True)
    print("local stack: stopped" if emulator.stop() else "local stack: was not running")


def _sources() -> str:
    """Return a hash of everything that is deployed, and of how it is built."""
    files = [ROOT / "template.yaml", ROOT / "samconfig.toml", *sorted((ROOT / "requirements").glob("*.txt"))]
    for directory in ("functions", "layers"):
        files += sorted(path for path in (ROOT / directory).rglob("*") if path.is_file() and path.suffix != ".pyc")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _deployed() -> str | None:
    return json.loads(_RECORD.read_text())["sources"] if _RECORD.exists() else None


def _build() -> None:
    _sam(
        "build",
        *("--template-file", str(ROOT / "template.yaml")),
        *("--build-dir", str(_BUILD)),
        *("--cached", "--cache-dir", str(STATE / "build-cache"), "--parallel"),
        *("--parameter-overrides", f"Architecture={_ARCHITECTURE}"),
        environment={"ARCHITECTURE": _ARCHITECTURE},
    )


def _deploy(running: Emulator) -> None:
    # With a bucket of our own, --resolve-s3 is not needed, which would deploy a stack for a bucket.
    s3 = _client("s3", running)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    _sam(
        "deploy",
        *("--config-env", ENVIRONMENT, "--config-file", str(ROOT / "samconfig.toml")),
        *("--template-file", str(_BUILD / "template.yaml")),
        *("--stack-name", STACK_NAME, "--s3-bucket", BUCKET, "--no-progressbar"),
        *("--parameter-overrides", " ".join(overrides(ENVIRONMENT, _ARCHITECTURE))),
        environment={"AWS_ENDPOINT_URL": running.url, "SAM_CLI_POLL_DELAY": "0.2"},
    )


def _make_concurrencies_numbers(running: Emulator) -> None:
    """Set each event source's concurrency again, as a number.

    ministack keeps a number from a template parameter as text, and then polls no queue at all.
    """
    functions = _client("lambda", running)
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        maximum = int(source["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": maximum})


def _tell_public_url(running: Emulator, description: dict[str, Any]) -> None:
    """Tell discovery where the API is: ministack leaves the domain out of a request's context."""
    functions, name = _client("lambda", running), description["functions"]["DiscoveryFunction"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables["PUBLIC_URL"] = description["api_url"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def _describe(running: Emulator) -> dict[str, Any]:
    resources: dict[str, dict[str, str]] = {}
    pages = _client("cloudformation", running).get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            of_type = resources.setdefault(resource["ResourceType"], {})
            of_type[resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
    api = resources["AWS::ApiGateway::RestApi"]["Api"]
    return {
        "api_url": f"{running.url}/_aws/execute-api/{api}/{STAGE}",
        "endpoint_url": running.url,
        "region": REGION,
        "stack_name": STACK_NAME,
        "queues": resources["AWS::SQS::Queue"],
        "tables": resources["AWS::DynamoDB::Table"],
        "functions": resources["AWS::Lambda::Function"],
        "pid": running.pid,
    }


def _client(service: Any, running: Emulator) -> Any:
    return boto3.client(
        service,
        endpoint_url=running.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )


def _sam(*arguments: str, environment: dict[str, str]) -> None:
    """Run SAM, and show its output if it fails.

    Raises:
        SystemExit: it failed.

    """
    # SAM leaves its scratch directories behind.
    with _LOG.open("w") as log, tempfile.TemporaryDirectory(dir=STATE) as scratch:
        common = {"AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0", "TMPDIR": scratch}
        code = subprocess.call([_SAM, *arguments], cwd=ROOT, stdout=log, stderr=log, env=os.environ | common | environment)
    if code != 0:
        sys.exit(f"{_LOG.read_text()}\nlocal stack: sam {arguments[0]} failed")


def _write_atomically(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    with emulator.exclusively():
        {"up": up, "down": down}[sys.argv[1]]()
