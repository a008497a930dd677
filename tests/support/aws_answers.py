"""An AWS that remembers nothing: each call gets its answer from a table, and is counted.

A call is named by its operation and its table or queue, such as ``UpdateItem deliveries`` or ``Sign``. Its answer is the one for
its name and sort key (``GetItem providers PROVIDER``), or else the one for its name.
"""

import json
import threading
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

type Json = dict[str, Any]
type Answers = Mapping[str, Json]


class AwsAnswers:
    """Answers calls in AWS's JSON protocols; ``calls`` says how many there were of each name."""

    def __init__(self, answers: Answers) -> None:
        self.calls: Counter[str] = Counter()
        self._answers = answers
        self._kms = _Kms()
        self._lock = threading.Lock()

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body; ``target`` is the header ``X-Amz-Target``. What is not in the table is an error."""
        operation, request = target.rpartition(".")[2], json.loads(body)
        name = _name(operation, request)
        with self._lock:
            self.calls[name] += 1
        answer = self._kms.sign(request) if operation == "Sign" else self._find(name, request)
        if answer is None:
            return 400, json.dumps({"__type": "NotInTheTable", "message": name}).encode()
        return 200, json.dumps(answer).encode()

    def _find(self, name: str, request: Json) -> Json | None:
        sort_key = (request.get("Key") or request.get("Item") or {}).get("sk", {}).get("S", "")
        return self._answers.get(f"{name} {sort_key}", self._answers.get(name))


class _Kms:
    """Signs digests with keys of its own, one for each kind of key, whatever the key id."""

    def sign(self, request: Json) -> Json:
        digest, algorithm = b64decode(request["Message"]), request["SigningAlgorithm"]
        return {
            "KeyId": request["KeyId"],
            "Signature": b64encode(self._algorithms[algorithm](digest)).decode(),
            "SigningAlgorithm": algorithm,
        }

    @cached_property
    def _algorithms(self) -> Mapping[str, Callable[[bytes], bytes]]:
        on_curve, with_rsa, sha256 = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048), SHA256()
        prehashed, pss = Prehashed(sha256), padding.PSS(padding.MGF1(sha256), sha256.digest_size)
        return {
            "ECDSA_SHA_256": lambda digest: on_curve.sign(digest, ec.ECDSA(prehashed)),
            "RSASSA_PKCS1_V1_5_SHA_256": lambda digest: with_rsa.sign(digest, padding.PKCS1v15(), prehashed),
            "RSASSA_PSS_SHA_256": lambda digest: with_rsa.sign(digest, pss, prehashed),
        }


def _name(operation: str, request: Json) -> str:
    of = request.get("TableName") or request.get("QueueUrl", "").rpartition("/")[2]
    return f"{operation} {of}".rstrip()
