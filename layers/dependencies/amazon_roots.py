"""Takes Amazon's root certificates out of a bundle: `amazon_roots.py <bundle> <file>`; fails if one of them is missing.

AWS's endpoints chain to these (https://www.amazontrust.com/repository). OpenSSL parses a whole bundle for each
new connection, and botocore's has more than a hundred certificates.
"""

import re
import ssl
import sys
from pathlib import Path

SUBJECTS = (
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
)
"""Their common names."""

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


def amazon_roots(bundle: str) -> str:
    """Return the certificates of SUBJECTS, in their order.

    Raises:
        SystemExit: there is not exactly one of each.

    """
    found: dict[str, list[str]] = {subject: [] for subject in SUBJECTS}
    for certificate in _CERTIFICATE.findall(bundle):
        found.get(_common_name(certificate), []).append(certificate)
    wrong = [subject for subject, certificates in found.items() if len(certificates) != 1]
    if wrong:
        sys.exit(f"not exactly one certificate in the bundle: {', '.join(wrong)}")
    return "".join(certificate for (certificate,) in found.values())


def _common_name(certificate: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    (parsed,) = context.get_ca_certs()
    subject = dict(pair for name in parsed["subject"] for pair in name)  # type: ignore[misc]
    return str(subject.get("commonName", ""))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(amazon_roots(Path(sys.argv[1]).read_text()))
