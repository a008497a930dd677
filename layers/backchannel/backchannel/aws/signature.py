"""Signature Version 4 for one kind of request: a POST of JSON to SQS. For a function that must not wait for the SDK's import."""

import hashlib
import hmac
import time
from collections.abc import Mapping


def signed_headers(
    host: str, target: str, body: bytes, *, region: str, credentials: Mapping[str, str], now: float
) -> dict[str, str]:
    """Return the headers of a request. ``credentials`` are the variables in which Lambda gives a function those of its role."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": host,
        "x-amz-date": at,
        "x-amz-target": target,
    }
    if token := credentials.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    request = "\n".join(["POST", "/", "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    scope = f"{at[:8]}/{region}/sqs/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{credentials['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers
