"""AWS is verified against AWS_CA_BUNDLE, relying parties against the public authorities; neither vouches for the other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from botocore.exceptions import SSLError

from backchannel.aws.clients import CONFIG
from backchannel.egress import connections
from backchannel.egress.post import Egress
from backchannel.errors import TlsFailed
from tests.faults.conftest import server_context
from tests.faults.servers import OK, Server, answers
from tests.support.aws_stand_in import AwsStandIn, aws_stand_in

type Trust = Callable[[str, str], None]


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in({}) as running:
        yield running


@pytest.fixture
def amazon(aws: AwsStandIn) -> str:
    """Return the file of the authority that vouches for AWS."""
    return aws.environment["AWS_CA_BUNDLE"]


@pytest.fixture
def public(authority: trustme.CA, tmp_path: Path) -> str:
    """Return the file of the authority that vouches for relying parties."""
    path = tmp_path / "public.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def trust(aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trust]:
    """Set what vouches for AWS, and the public authorities of this machine."""

    def to(for_aws: str, for_all: str) -> None:
        for name, value in {**aws.environment, "AWS_CA_BUNDLE": for_aws, "SSL_CERT_FILE": for_all}.items():
            monkeypatch.setenv(name, value)
        connections._trust.cache_clear()

    yield to
    connections._trust.cache_clear()


def sign() -> Any:
    kms = boto3.Session().client("kms", config=CONFIG)
    return kms.sign(KeyId="key", Message=bytes(32), MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")["Signature"]


def post(egress: Egress, certified_by: trustme.CA) -> int:
    with Server(answers(OK), tls=server_context(certified_by, "rp.test")) as rp:
        return egress.post(f"https://rp.test:{rp.port}/", b"logout_token=a.b.c", allowed_networks=("127.0.0.0/8",)).status


def test_aws_and_a_relying_party_are_each_verified_by_their_own_authorities(
    trust: Trust, amazon: str, public: str, authority: trustme.CA, egress: Egress
) -> None:
    trust(amazon, public)

    assert sign()
    assert post(egress, authority) == 200


def test_what_vouches_for_relying_parties_does_not_vouch_for_aws(trust: Trust, amazon: str, public: str) -> None:
    trust(public, amazon)

    with pytest.raises(SSLError):
        sign()


def test_what_vouches_for_aws_does_not_vouch_for_a_relying_party(trust: Trust, amazon: str, public: str, egress: Egress) -> None:
    another = trustme.CA()
    amazons = Path(public).with_name("amazon.pem")
    amazons.write_bytes(Path(amazon).read_bytes() + another.cert_pem.bytes())
    trust(str(amazons), public)

    assert sign()
    with pytest.raises(TlsFailed):
        post(egress, another)
