"""HTTP as the service wants it: signed with SigV4, with time-outs, through the operator's proxy if there is one."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from backchannel_cli.aws import explained
from backchannel_cli.errors import UsageError
from backchannel_cli.finding import Place
from backchannel_cli.service import LOOPBACK, Response, UnansweredError

CONNECT_WITHIN = 5.0
READ_WITHIN = 35.0
"""Seconds; API Gateway gives a request 29."""

CA_BUNDLE = "Correct AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, or ca_bundle in your AWS profile."


class Sender:
    """Sends requests to one service; ``is_signed`` is for the operator's, webhooks carry a signature of their own."""

    def __init__(self, place: Place, *, is_signed: bool = True) -> None:
        self._place = place
        self._is_signed = is_signed
        self._http: Any = None

    def __call__(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, url, data=body, headers=dict(headers))
        if self._is_signed:
            with explained():
                credentials: Any = self._place.aws.credentials.get_frozen_credentials()
            SigV4Auth(credentials, "execute-api", self._place.region).add_auth(request)
        return self._answer(request.prepare())

    def _answer(self, request: Any) -> Response:
        from botocore import exceptions

        try:
            answer = self._session(request.url).send(request)
            return Response(answer.status_code, dict(answer.headers), answer.content)
        except exceptions.ReadTimeoutError as error:
            raise UnansweredError(f"it took longer than {READ_WITHIN:.0f} s", is_sent=True) from error
        except exceptions.ConnectTimeoutError as error:
            raise UnansweredError(f"no connection within {CONNECT_WITHIN:.0f} s", is_sent=False) from error
        except (exceptions.EndpointConnectionError, exceptions.ProxyConnectionError, exceptions.SSLError) as error:
            raise UnansweredError(_cause(error), is_sent=False) from error
        except exceptions.HTTPClientError as error:
            raise UnansweredError(_cause(error), is_sent=True) from error

    def _session(self, url: str) -> Any:
        if self._http is None:
            from botocore.httpsession import URLLib3Session
            from botocore.utils import get_environ_proxies

            with explained():
                bundle: Any = self._place.aws.session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
            if bundle and not os.access(bundle, os.R_OK):
                raise UsageError(f"The certificates in {bundle} cannot be read.", CA_BUNDLE)
            times: Any = (CONNECT_WITHIN, READ_WITHIN)
            proxies = {} if urlsplit(url).hostname in LOOPBACK else get_environ_proxies(url)
            self._http = URLLib3Session(verify=bundle or True, proxies=proxies, timeout=times)
        return self._http


def _cause(error: Exception) -> str:
    """Return the innermost reason: urllib3 and botocore wrap it in sentences with addresses of objects."""
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    return str(getattr(inner, "strerror", None) or inner)
