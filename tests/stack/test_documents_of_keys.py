"""What docs/keys.md and docs/keys/ show: each request is made, each answer is compared, each command is run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc.jwk import ECKey

from backchannel.tokens.kms_keys import STACK_TAG
from backchannel.tokens.public_keys import public_jwk
from local.client import Response, Stack
from local.stack import STACK_NAME
from tests.support.aws import Aws
from tests.support.provider import Provider
from tests.support.servers import LoopbackServer
from tests.support.snippets import Exchange, blocks, exchanges, sections

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "docs/keys.md", *ROOT.glob("docs/keys/*.md")]}

API_URL = "https://abcdef1234.execute-api.eu-central-1.amazonaws.com/live"
ISSUER = "https://idp.example"
ORIGIN = "https://idp-origin.example"
"""How the documents call the service, and the provider ``acme`` before and behind a proxy."""

LEARNED = frozenset({"kid", "kms_key_arn"})
"""Members whose values differ from those that a document shows; one that it shows twice is the same value twice."""

MOMENTS, NUMBERS = frozenset({"since", "until"}), frozenset({"n", "x", "y"})

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"

type Json = dict[str, Any]


SHOWN = [
    pytest.param(name, heading, id=f"{name}: {heading}")
    for name, text in DOCUMENTS.items()
    for heading, section in sections(text).items()
    if blocks(section, "http")
]


class ProviderServer:
    """The provider's own web server: its discovery document, and the ``keys`` of its JWKS."""

    def __init__(self, path: str) -> None:
        self._server = LoopbackServer(self._handler())
        self._path = path
        self.issuer = f"http://127.0.0.1:{self._server.server_port}{path}"
        self.keys: Callable[[], list[Json]] = list

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def document(self, path: str) -> Json | None:
        metadata: Json = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }
        documents = {"/.well-known/openid-configuration": metadata, "/jwks": {"keys": self.keys()}}
        return documents.get(path.removeprefix(self._path))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = served.document(self.path)
                body = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Say nothing."""

        return Handler


@dataclass
class Scene:
    """What a section of a document begins with, and what is called otherwise here than there."""

    provider: Provider
    server: ProviderServer
    aws: Aws
    permissions: ExitStack
    called: dict[str, str] = field(default_factory=dict)

    @property
    def stack(self) -> Stack:
        return self.provider.stack

    def register(self, **algs: str) -> None:
        for client_id, alg in algs.items():
            uri = f"https://{client_id}.example/backchannel-logout"
            self.provider.register_client(uri, client_id, id_token_signed_response_alg=alg)

    def published(self, alg: str | None = None) -> list[Json]:
        """Return the keys that our JWKS shows."""
        keys: list[Json] = self.stack.request("GET", f"{self.provider.path}/jwks.json").body["keys"]
        return [key for key in keys if alg in {None, key["alg"]}]

    def here(self, text: str) -> str:
        """Return a text of the document with the names of this scene."""
        names = {API_URL: self.stack.api_url, ISSUER: self.server.issuer, ORIGIN: self.server.issuer, "acme": self.provider.name}
        for there, here in {**names, **self.called}.items():
            text = text.replace(there, here)
        return text

    def ask(self, exchange: Exchange) -> Response:
        body = self.here(exchange.body).encode()
        is_public = re.search(r"/jwks\.json$|/openid-configuration$", exchange.path)
        path = self.here(exchange.path)
        return self.stack.request(exchange.method, path, body=body, signed=not is_public)

    def compare(self, shown: Any, real: Any, name: str = "") -> None:
        """Hold what a document shows against what came."""
        match shown, real:
            case dict(), dict():
                assert set(shown) == set(real), name
                for member, value in shown.items():
                    self.compare(value, real[member], member)
            case list(), list():
                assert len(shown) == len(real), name
                for each, other in zip(shown, real, strict=True):
                    self.compare(each, other, name)
            case str(), str() if name in LEARNED:
                assert self.called.setdefault(shown, real) == real, name
            case str(), str() if name in MOMENTS:
                assert re.fullmatch(TIME, shown), name
                assert re.fullmatch(TIME, real), name
            case str(), str() if name in NUMBERS:
                assert re.fullmatch(r"[\w-]+", shown), name
            case str(), str():
                assert self.here(shown) == real, name
            case _:
                assert shown == real, name


# --- What each section begins with ------------------------------------------------------------------------------------


def some_keys_are_found(scene: Scene) -> None:
    scene.register(wiki="RS256", mail="ES256")
    scene.server.keys = lambda: scene.published("ES256")


def one_client(scene: Scene) -> None:
    scene.register(mail="ES256")


def a_key_is_suspected(scene: Scene) -> None:
    scene.register(mail="ES256")
    first, *_ = exchanges(sections(DOCUMENTS["docs/keys.md"])["Emergency: a key is suspected"])
    scene.called[json.loads(first.body)["kid"]] = scene.provider.ring()[0]["kid"]


def keys_of_the_provider(scene: Scene) -> None:
    scene.register(mail="ES256")
    theirs = {**ECKey.generate_key("P-256").as_dict(private=False), "use": "sig", "alg": "ES256", "kid": "their-key"}
    scene.server.keys = lambda: [theirs]


def keys_are_added(scene: Scene) -> None:
    scene.register(mail="ES256")
    scene.server.keys = scene.published


def own_key(scene: Scene) -> None:
    """Make a KMS key with the policy that the document shows, and permit what the parameter ProviderKeyArns does."""
    scene.register(wiki="RS256")
    kms = scene.aws.client("kms")
    ((_, policy), *_) = blocks(DOCUMENTS["docs/keys/own-kms-key.md"], "json")
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Policy=json.dumps(local_policy(scene.aws, policy)))
    arn = made["KeyMetadata"]["Arn"]
    jwk = public_jwk(kms.get_public_key(KeyId=arn)["PublicKey"])
    scene.server.keys = lambda: [{**jwk, "use": "sig", "alg": "RS256", "kid": "idp-2026"}]
    ((_, body),) = [each for each in blocks(DOCUMENTS["docs/keys/own-kms-key.md"], "http") if each[1].startswith("PUT")]
    scene.permissions.enter_context(scene.aws.with_permission("AdminRole", "kms:GetPublicKey"))
    scene.permissions.enter_context(scene.aws.with_permission("DeliveryRole", "kms:Sign"))
    scene.called[re.findall(r"arn:aws:kms:[^\"]+", body)[0]] = arn


SCENES: Mapping[tuple[str, str], Callable[[Scene], None]] = {
    ("docs/keys.md", "Keys"): some_keys_are_found,
    ("docs/keys.md", "Rotation"): one_client,
    ("docs/keys.md", "Emergency: a key is suspected"): a_key_is_suspected,
    ("docs/keys/merged-jwks.md", "Configure it"): keys_of_the_provider,
    ("docs/keys/merged-jwks.md", "Under the provider's own address"): keys_of_the_provider,
    ("docs/keys/added-keys.md", "Into the provider's JWKS"): keys_are_added,
    ("docs/keys/added-keys.md", "Rotation by hand"): keys_are_added,
    ("docs/keys/own-kms-key.md", "Hand it over"): own_key,
}


def local_policy(aws: Aws, text: str) -> Json:
    """Return a key policy with the roles of the local stack, in both forms in which the local AWS names a role."""
    policy: Json = json.loads(text)
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": "arn:aws:iam::000000000000:root"}
        arns = statement.get("Condition", {}).get("ArnLike", {}).get("aws:PrincipalArn", [])
        names = [aws.physical_id(re.findall(r"(Delivery|Admin)Role", arn)[0] + "Role") for arn in arns]
        if names:
            forms = [
                [f"arn:aws:iam::000000000000:role/{each}", f"arn:aws:sts::000000000000:assumed-role/{each}/*"] for each in names
            ]
            statement["Condition"]["ArnLike"]["aws:PrincipalArn"] = [form for pair in forms for form in pair]
    return policy


@pytest.fixture
def scene(stack: Stack, aws: Aws) -> Iterator[Scene]:
    provider = Provider(stack)
    with ProviderServer(f"/{provider.name}") as server, ExitStack() as permissions:
        provider.issuer = server.issuer
        provider.create()
        yield Scene(provider, server, aws, permissions)


@pytest.mark.parametrize(("name", "heading"), SHOWN)
def test_every_request_gets_the_answer_that_the_document_shows(scene: Scene, name: str, heading: str) -> None:
    SCENES[name, heading](scene)

    for exchange in exchanges(sections(DOCUMENTS[name])[heading]):
        response = scene.ask(exchange)
        shown = None if exchange.answer is None else json.loads(exchange.answer)

        assert response.status in ({shown["status"]} if shown and "status" in shown else {200, 201, 202}), response
        if shown is not None:
            scene.compare(shown, response.body)


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Callable[[str], str]:
    """Run a command line of a document with an `aws` that talks to the local AWS, in an empty directory."""
    command = tmp_path / "bin" / "aws"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.aws_cli "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": stack.region,
    }

    def run(line: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own documents
            ["/bin/sh", "-eu", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def with_value(command: str, assignment: str) -> str:
    """Return a command with another value for its variable."""
    name = assignment.partition("=")[0]
    assert re.search(rf"^ *{name}=", command, re.MULTILINE)
    return re.sub(rf"^( *){name}=.+$", rf"\1{assignment}", command, flags=re.MULTILINE)


def test_the_command_that_writes_a_key_as_pem_writes_that_key(scene: Scene, run: Callable[[str], str], tmp_path: Path) -> None:
    scene.register(wiki="RS256")
    (key,) = scene.provider.ring()
    ((_, command),) = blocks(DOCUMENTS["docs/keys/added-keys.md"], "sh")

    run(with_value(command, f"ARN={key['kms_key_arn']}"))

    written = load_pem_public_key((tmp_path / "backchannel.pem").read_bytes())
    assert public_jwk(written.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) == {
        name: value for name, value in scene.published()[0].items() if name in {"kty", "n", "e"}
    }


def test_the_command_that_deletes_a_stacks_keys_deletes_no_others_and_can_be_taken_back(
    aws: Aws, run: Callable[[str], str]
) -> None:
    kms = aws.client("kms")
    tags = [[{"TagKey": STACK_TAG, "TagValue": f"docs-{name}"}] for name in ("gone", "other")]
    gone, other = [
        kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=each)["KeyMetadata"]["Arn"] for each in tags
    ]
    (_, take_back), (_, delete) = blocks(sections(DOCUMENTS["docs/keys.md"])["Deletion"], "sh")

    def states() -> list[str]:
        return [kms.describe_key(KeyId=each)["KeyMetadata"]["KeyState"] for each in (gone, other)]

    run(with_value(delete, "STACK=docs-gone"))
    after_deletion = states()
    run(with_value(take_back, f"ARN={gone}"))

    assert after_deletion == ["PendingDeletion", "Enabled"]
    assert states() == ["Enabled", "Enabled"]
    for each in (gone, other):
        kms.schedule_key_deletion(KeyId=each, PendingWindowInDays=7)


def test_the_command_that_names_the_roles_names_them(aws: Aws, run: Callable[[str], str]) -> None:
    ((_, command),) = blocks(DOCUMENTS["docs/keys/own-kms-key.md"], "sh")

    named = run(with_value(command, f"STACK={STACK_NAME}"))

    assert named.split() == [aws.physical_id("AdminRole"), aws.physical_id("DeliveryRole")]


@pytest.mark.parametrize("kind", ["nginx", "yaml"])
def test_a_proxy_snippet_leads_to_the_merged_jwks(scene: Scene, kind: str) -> None:
    ((_, snippet),) = blocks(DOCUMENTS["docs/keys/merged-jwks.md"], kind)
    host, stage = API_URL.removeprefix("https://").split("/")

    (path,) = re.findall(r"/providers/acme/[\w./-]+\w", snippet)

    assert host in snippet
    assert f"/{stage}{path}" in snippet or f"OriginPath: /{stage}\n" in snippet
    assert scene.stack.request("GET", scene.here(path)).body == {"keys": []}
