"""Every block that a page shows belongs to a test that runs it, or that has produced it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

PRODUCTS = dict.fromkeys(
    ("clerk", "fusionauth", "hanko", "logto", "pingam", "pingone", "workos", "zitadel"), "stack/test_products.py"
)
PROVIDERS = PRODUCTS | {
    "auth0": "stack/test_auth0_samples.py",
    "authentik": "stack/test_authentik.py",
    "cognito": "stack/test_cognito_samples.py",
    "generic": "stack/test_generic_formats.py",
    "keycloak": "stack/test_keycloak.py",
    "okta": "stack/test_okta_samples.py",
    "relay": "stack/test_logout_tokens.py",
    "security-event-token": "stack/test_set_samples.py",
    "without-events": "stack/test_without_events.py",
}
RUN_BY = {
    ("docs/start.md", "text"): "stack/test_start_page.py",
    ("docs/start.md", "sh"): "stack/test_start_page.py",
    ("docs/start.md", "json"): "stack/test_start_page.py",
    ("README.md", "text"): "stack/test_start_page.py",
    ("README.md", "console"): "stack/test_start_page.py",
    ("README.md", "sh"): "stack/test_start_page.py",
    ("docs/at-night.md", "http"): "stack/test_at_night.py",
    **{
        (f"docs/{page}.md", "console"): "unit/test_recordings.py"
        for page in ("at-night", "import", "keys", "mass-logout", "operations")
    },
    ("docs/receiver-check.md", "console"): "unit/cli/test_receiver_page.py",
    ("docs/import.md", "sh"): "stack/test_import.py",
    ("docs/import.md", "json"): "stack/test_import.py",
    ("docs/import.md", "python"): "stack/test_import.py",
    **{
        (f"docs/{page}.md", kind): "stack/test_documents_of_keys.py"
        for page in ("keys", "keys/added-keys", "keys/merged-jwks", "keys/own-kms-key")
        for kind in ("http", "json", "sh", "nginx", "yaml")
    },
    **{
        (f"docs/relying-parties/{path.name}", "http"): "stack/test_relying_party_pages.py"
        for path in (ROOT / "docs" / "relying-parties").glob("*.md")
    },
    **{
        (f"docs/providers/{page}.md", kind): test
        for page, test in PROVIDERS.items()
        for kind in ("http", "json", "python", "javascript", "sh", "console")
    },
    ("docs/providers/generic.md", "json"): "stack/test_pages.py",
    ("docs/providers/auth0.md", "sh"): "template/test_event_source.py",
    ("docs/interface.md", "http"): "stack/test_pages.py",
    ("docs/mass-logout.md", "json"): "stack/test_pages.py",
    ("docs/sessions.md", "json"): "stack/test_pages.py",
    ("docs/operations.md", "sh"): "stack/test_pages.py",
    ("docs/events.md", "sh"): "stack/test_pages.py",
    ("docs/events.md", "json"): "unit/test_announcements.py",
}
"""What runs the blocks of a language on a page, or has produced them."""

READ = {("docs/operations.md", "")}
"""The query for CloudWatch Logs Insights: there is no such service in the local AWS."""


def shown(path: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(path.read_text())


every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@every_page
def test_every_block_of_a_page_is_run_by_a_test(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    for kind, content in shown(path):
        calls_make = kind == "console" and all(re.match(r"\$ make [a-z]", line) for line in content.splitlines() if line.strip())

        assert calls_make or (name, kind) in READ or (name, kind) in RUN_BY, f"no test runs this: {content}"


@pytest.mark.parametrize(("page", "test"), sorted({(page, test) for (page, _), test in RUN_BY.items()}))
def test_whatever_runs_the_blocks_of_a_page_reads_that_page(page: str, test: str) -> None:
    source, path = (ROOT / "tests" / test).read_text(), Path(page)

    assert path.name in source or path.stem in source or path.parent.name in source
