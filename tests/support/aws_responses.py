"""An answer of AWS as botocore would have read it from a socket: for handlers of its event ``before-send``."""

from dataclasses import dataclass

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders


def response(request: AWSRequest, status: int, body: bytes) -> AWSResponse:
    return AWSResponse(str(request.url), status, HTTPHeaders(), RawBody(body))


@dataclass(frozen=True, slots=True)
class RawBody:
    """The body of an HTTP answer, as botocore reads it."""

    body: bytes

    def stream(self, **_: object) -> list[bytes]:
        return [self.body]
