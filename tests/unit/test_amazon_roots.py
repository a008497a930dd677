import re
import ssl
from pathlib import Path

import botocore
import pytest
import trustme

from layers.dependencies.amazon_roots import SUBJECTS, amazon_roots

BUNDLE = Path(botocore.__file__).with_name("cacert.pem").read_text()
"""Of the botocore that the layer ships."""


def common_names(bundle: str) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bundle)
    return re.findall(r"'commonName', '([^']+)'", str([each["subject"] for each in context.get_ca_certs()]))


def test_the_roots_are_amazons_five_and_nobody_elses() -> None:
    roots = amazon_roots(BUNDLE)

    assert sorted(common_names(roots)) == sorted(SUBJECTS)
    assert roots.count("BEGIN CERTIFICATE") == 5
    assert len(common_names(BUNDLE)) > 100


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_build_fails_if_a_root_is_missing(subject: str) -> None:
    roots = amazon_roots(BUNDLE)
    certificates = re.findall("-----BEGIN.*?-----END CERTIFICATE-----\n", roots, re.DOTALL)
    others = trustme.CA().cert_pem.bytes().decode() + "".join(each for each in certificates if common_names(each) != [subject])

    with pytest.raises(SystemExit, match=subject):
        amazon_roots(others)


def test_the_build_fails_if_two_certificates_share_a_name() -> None:
    with pytest.raises(SystemExit, match=SUBJECTS[0]):
        amazon_roots(BUNDLE + amazon_roots(BUNDLE))
