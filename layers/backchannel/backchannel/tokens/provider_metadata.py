"""The provider's discovery document (OpenID Connect Discovery 1.0): what it must have, and what of it is ours."""

from collections.abc import Callable, Mapping
from typing import Any

_LISTS = ("response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported")
"""REQUIRED beside the URLs (section 3)."""

_SHOWN = 514
"""Characters of an issuer that an error repeats: all, since two may differ in the slash at their ends."""


def checks(issuer: str, *, needs_jwks_uri: bool) -> Callable[[Mapping[str, Any]], None]:
    """Return the check of a discovery document; it raises ValueError if a member that is REQUIRED in section 3 is not there.

    Without ``needs_jwks_uri``, somebody else knows where the keys are.
    """

    def check(document: Mapping[str, Any]) -> None:
        theirs = document.get("issuer")
        if theirs != issuer:
            raise ValueError(f"issuer is not exactly that of the provider: {_cut(theirs)}, not {_cut(issuer)}")
        for name in _LISTS:
            values = document.get(name)
            if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
                raise ValueError(f"{name} must be an array of strings, and not empty")
        urls = ["authorization_endpoint"]
        if any("code" in types.split() for types in document["response_types_supported"]):
            urls.append("token_endpoint")  # required unless there is the implicit flow alone
        if needs_jwks_uri:
            urls.append("jwks_uri")
        for name in urls:
            if not isinstance(document.get(name), str):
                raise ValueError(f"{name} must be a URL")  # noqa: TRY004 - for its reader, a wrong type is a wrong value

    return check


def _cut(value: object) -> str:
    return repr(value)[:_SHOWN]


def merged(document: Mapping[str, Any], jwks_uri: str) -> dict[str, Any]:
    """Return the provider's document with our JWKS, and with what section 2.1 of Back-Channel Logout announces.

    ``signed_metadata`` would take precedence (RFC 8414, section 2.1), and it names the provider's own JWKS.
    """
    own = {name: value for name, value in document.items() if name != "signed_metadata"}
    return {
        **own,
        "jwks_uri": jwks_uri,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
