"""Drives the service with the client that a public generator made of docs/openapi.json, in the generator's environment.

``python generated_client.py <folder of the client> <URL of the API> <region> <name of a provider> <issuer>`` prints what it saw.
"""

import importlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main(folder: str, api_url: str, region: str, provider: str, issuer: str) -> None:
    sys.path.insert(0, folder)
    package = importlib.import_module("backchannel_client")
    models: Any = importlib.import_module("backchannel_client.models")

    def sign(request: Any) -> Any:
        """Sign a request as botocore does; httpx calls this with each."""
        kept = {name: request.headers[name] for name in ("content-type",) if name in request.headers}
        signed = AWSRequest(request.method, str(request.url), data=request.content, headers=kept)
        SigV4Auth(Credentials("test", "test"), "execute-api", region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request

    client = package.Client(base_url=api_url, timeout=30, httpx_args={"auth": sign}, raise_on_unexpected_status=True)

    def call(operation: str, *path: str, **members: Any) -> Any:
        """Call an operation; return what its answer is read as."""
        api: Any = importlib.import_module(f"backchannel_client.api.default.{operation}")
        return api.sync_detailed(*path, client=client, **members).parsed

    seen: dict[str, Any] = {}
    call("put_provider", provider, body=models.ProviderMetadata(issuer=issuer))
    source = models.SourceMetadata.from_dict({"format": "keycloak", "secret": "s" * 24})
    call("put_source", provider, "app", body=source)
    uri = "https://rp.example/logout"
    call("put_client", provider, "wiki", body=models.ClientMetadata(backchannel_logout_uri=uri, paused=True))
    seen["patched"] = call("patch_client", provider, "wiki", body=models.ClientPatch(exp=60)).exp
    shown = call("get_client", provider, "wiki")
    taken_back = call("put_client", provider, "wiki", body=models.ClientMetadata.from_dict(shown.to_dict()))
    seen["taken back"] = taken_back.to_dict() == {name: value for name, value in shown.to_dict().items() if name != "circuit"}
    seen["resumed"] = call("post_client_resume", provider, "wiki").paused
    seen["paused"] = call("post_client_pause", provider, "wiki").paused
    started = datetime.now(UTC)
    call("post_sessions", provider, body=models.RpSessionStart(sub="ada", client_id="wiki", sid="s1", started_at=started))
    seen["sessions"] = [[each.client_id, each.sub, each.sid] for each in call("get_sessions", provider, sid="s1").sessions]
    logout = call("post_logouts", provider, body=models.LogoutRequest(sid="s1")).logout_id
    seen["logout"] = call("get_logout", provider, logout).sid
    statuses = [models.Status.QUEUED, models.Status.RETRYING]
    listed = call("get_deliveries", provider, client_id="wiki", status=statuses, since=started)
    seen["deliveries"] = [each.logout_id == logout for each in listed.deliveries]
    seen["keys"] = [key["alg"] for key in call("get_jwks_json", provider).to_dict()["keys"]]
    seen["refused"] = call("put_client", provider, "wiki", body=models.ClientMetadata(exp=5)).code
    call("delete_client", provider, "wiki")
    call("delete_source", provider, "app")
    call("delete_provider", provider)
    seen["removed"] = call("get_provider", provider).code
    print(json.dumps(seen))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
