"""`python -m local.mutants [module …]`: changes the pure modules in small ways, and lists the changes that no test notices.

mutmut does it, in a copy of the library and its unit tests below .local. It changes what functions do; not the tables beside
them, nor the texts of errors. A run stops by itself after LIMIT, and then names the modules that it did not finish.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".local" / "mutants"
LIBRARY = ROOT / "layers" / "backchannel" / "backchannel"
LIMIT = 12 * 60
"""Seconds; listing what is left takes some more, together less than a quarter of an hour."""

WORKERS = 2
TESTS = {
    "aws.messages": ("messages",),
    "deliveries.logout_token": ("logout_token",),
    "deliveries.outcomes": ("outcomes",),
    "egress.addresses": ("addresses",),
    "logouts.recipients": ("recipients",),
    "providers.key_trust": ("key_trust",),
    "providers.registration": ("clients",),
    "providers.uris": ("clients",),
    "reasons": ("reasons",),
    "sessions.events": ("events",),
    "sessions.implied_starts": ("implied_starts",),
    "sessions.rp_sessions": ("rp_sessions",),
    "tokens.encryption_keys": ("encryption_keys",),
    "tokens.jwks": ("jwks", "key_ring"),
    "tokens.jws": ("jws",),
    "tokens.jws_verification": ("jws_verification",),
    "tokens.key_policy": ("key_policy",),
    "tokens.provider_metadata": ("provider_metadata",),
    "tokens.rotation": ("rotation",),
    "webhooks.*": (
        *("bearer", "ed25519_signatures", "formats", "hmac_signatures", "keycloak", "keycloak_signatures", "logout_tokens"),
        *("signed_jwt", "standard_webhooks", "webhook_request", "zitadel", "workos", "clerk", "logto", "fusionauth", "hanko"),
        *("pingone", "timestamped_signatures"),
    ),
}
"""The modules that call nobody and decide what is sent to whom, each with the unit tests that have to notice a change in it."""


def module_path(module: str) -> str:
    return f"src/backchannel/{module.replace('.', '/')}.py"


def prepare(modules: list[str]) -> None:
    """Copy the library and its unit tests, with a configuration that changes these modules alone."""
    shutil.rmtree(COPY, ignore_errors=True)
    bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, COPY / "src" / "backchannel", ignore=bytecode)
    for folder in ("events", "tests/unit", "tests/support"):
        shutil.copytree(ROOT / folder, COPY / folder, ignore=bytecode)
    (COPY / "pyproject.toml").write_text(f"""\
[tool.pytest.ini_options]
pythonpath = [".", "src"]
addopts = ["--import-mode=importlib"]
filterwarnings = ["error"]
[tool.mutmut]
source_paths = ["src"]
only_mutate = {[module_path(module) for module in modules]}
also_copy = ["events"]
do_not_mutate_patterns = ['^ *(raise \\w+|_refuse)\\(f?"']
pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
pytest_add_cli_args_test_selection = {[f"tests/unit/test_{test}.py" for module in modules for test in TESTS[module]]}
use_git_change_detection = false
""")


def run() -> bool:
    """Try every change; False when the time was over first."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(WORKERS)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"HYPOTHESIS_STORAGE_DIRECTORY": str(COPY / "hypothesis"), "COLUMNS": "120"}
    with (COPY / "log").open("w") as log:
        running = subprocess.Popen(command, cwd=COPY, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            running.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return False
    if running.returncode:
        sys.exit(f"{(COPY / 'log').read_text()[-4000:]}\nmutmut failed: {COPY / 'log'}")
    return True


def mutmut(*arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=COPY, check=True, capture_output=True, text=True).stdout


def results() -> dict[str, list[str]]:
    """Return the changes by what became of them."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in mutmut("results", "--all", "true").splitlines():
        name, _, status = line.strip().rpartition(": ")
        if name:
            found[status].append(name)
    return found


def show(name: str) -> None:
    """Print a change: the lines before and after."""
    lines = mutmut("show", name).splitlines()
    print(name, *(f"  {line}" for line in lines if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}), sep="\n")


def main(modules: list[str]) -> int:
    if unknown := set(modules) - TESTS.keys():
        sys.exit(f"not among the modules that are changed: {', '.join(unknown)}")
    prepare(modules or list(TESTS))
    finished = run()
    found = results()
    for name in found.get("survived", []) + found.get("no tests", []):
        show(name)
    print(", ".join(f"{len(names)} {status}" for status, names in found.items()))
    if not finished:
        unfinished = sorted({name.rpartition(".")[0] for name in found.get("not checked", [])})
        print(f"not finished within {LIMIT} s:", *unfinished)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
