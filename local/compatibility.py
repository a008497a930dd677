"""`python -m local.compatibility`: writes docs/can-i-use-it.md, which provider works with which relying party, and how.

What formats tell is counted from the samples, as in docs/providers/effects.md. What providers and relying parties are able to do
stands here; their pages say from where that is known.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import effects
from local.reference import table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "can-i-use-it.md"

STARTS = "an RP session started"
ONE_SESSION = "a session ended"
ALL_SESSIONS = "all sessions of a user ended"


@dataclass(frozen=True)
class IdentityProvider:
    """A provider: ``passes_on``, it sends logout tokens itself; ``has_sid``, its ends name sessions as its ID tokens do.

    ``takes_keys``: who runs it programs it, so he may add keys to its JWKS, or let it sign with KMS. ``names_sub``: so do
    the logout tokens that it sends itself.
    """

    name: str
    page: str
    formats: tuple[str, ...]
    passes_on: bool = False
    has_sid: bool = True
    takes_keys: bool = False
    names_sub: bool = True


@dataclass(frozen=True)
class RelyingParty:
    """An RP: ``reads_any_jwks``, it can be pointed to our keys; ``own_list``, it has a list of extra keys.

    ``subject``: how to register it. ``takes_sub``: a token with ``sub`` alone ends all of the user's sessions; ``takes_sid``:
    one with ``sid`` alone ends that session.
    """

    name: str
    page: str
    subject: str
    reads_any_jwks: bool = True
    own_list: bool = False
    takes_sub: bool = True
    takes_sid: bool = True
    was_run: bool = True


PROVIDERS = (
    IdentityProvider("Amazon Cognito", "cognito", ("cognito",), has_sid=False),
    IdentityProvider("Auth0", "auth0", ("auth0", "auth0-eventbridge", "logout-token"), passes_on=True),
    IdentityProvider("authentik", "authentik", ("logout-token", "standard-webhooks"), passes_on=True),
    IdentityProvider("Clerk", "clerk", ("clerk",)),
    IdentityProvider("FusionAuth", "fusionauth", ("fusionauth",), has_sid=False),
    IdentityProvider("Google", "security-event-token", ("security-event-token",), has_sid=False),
    IdentityProvider("Hanko", "hanko", ("hanko",)),
    IdentityProvider("Keycloak", "keycloak", ("keycloak", "keycloak-jwt", "logout-token"), passes_on=True),
    IdentityProvider("Logto", "logto", ("logto", "logout-token"), passes_on=True),
    IdentityProvider("Okta", "okta", ("okta", "okta-universal-logout"), has_sid=False),
    IdentityProvider("PingAM", "pingam", ("bearer",)),
    IdentityProvider("PingOne", "pingone", ("pingone",), has_sid=False),
    IdentityProvider("WorkOS", "workos", ("workos",)),
    IdentityProvider("ZITADEL", "zitadel", ("zitadel", "logout-token"), passes_on=True),
    IdentityProvider("Ory Hydra", "relay", ("logout-token",), passes_on=True, names_sub=False),
    IdentityProvider("Duende, Casdoor, better-auth", "relay", ("logout-token",), passes_on=True),
    IdentityProvider("node-oidc-provider", "relay", ("logout-token",), passes_on=True, takes_keys=True),
    IdentityProvider("your own", "generic", ("standard-webhooks", "signed-jwt", "bearer"), takes_keys=True),
    IdentityProvider("Entra ID, Authelia, Dex", "without-events", (), has_sid=False),
)

RELYING_PARTIES = (
    RelyingParty("express-openid-connect", "express-openid-connect", "sid_only"),
    RelyingParty("mod_auth_openidc", "mod-auth-openidc", "sid_only", own_list=True, takes_sub=False),
    RelyingParty("idpyoidc", "idpyoidc", "sid_only", own_list=True, takes_sub=False),
    RelyingParty("pyoidc", "pyoidc", "sid_only", own_list=True, takes_sub=False),
    RelyingParty("django-pyoidc", "django-pyoidc", "sub_only", takes_sid=False),
    RelyingParty("django-lasuite", "django-lasuite", "sub_only", takes_sid=False),
    RelyingParty("Auth0's SDKs", "auth0-sdks", "both", reads_any_jwks=False),
    RelyingParty("Spring Security", "spring-security", "both", was_run=False),
    RelyingParty("Duende BFF", "duende-bff", "both", was_run=False),
    RelyingParty("Keycloak", "keycloak-broker", "both", was_run=False),
)

HEAD = """# Can I use it?

`make reference` writes this page: what formats tell comes from the samples, as in [effects](providers/effects.md).

Two questions decide. **Does your identity provider tell** that a session is over? And **do your relying parties (RPs) trust**
who tells them? An RP checks issuer and signature of a logout token against its own issuer. There are [four
ways](keys.md#four-ways):

- **1** [pass on](providers/relay.md): the provider sends logout tokens itself, and we deliver *its* token. No RP changes
  anything.
- **2** [merged JWKS](keys/merged-jwks.md): the RP reads a JWKS of this service. **2p**: only if a proxy of yours serves it
  under the provider's own address, since the RP cannot be pointed elsewhere.
- **3** [added keys](keys/added-keys.md): our keys are put into the provider's JWKS. **3r**: into the RP's own list of keys.
- **4** [the provider's own KMS key](keys/own-kms-key.md): the provider signs its ID tokens with KMS, and we sign with the
  same key.

With a proxy before your provider, 2 serves every RP. Whether a way works for you, `GET /providers/{provider}/keys/check`
tells before the first logout.

## Which provider with which RP

Each cell has the ways of trust.

"""

LEGEND = """
- **all**: the provider tells only that all sessions of a user are over, or its tokens have no `sid`. So register the RP as
  `sub_only`; all of the user's sessions at this RP end together.
- **-**: as "all", but this RP does not end all of them by a token with `sub` alone, whatever it answers.
- \\*: read in its source, not run. All others were [tried](relying-parties/index.md) with real logins.

With way 1 an RP gets what the provider sends: Ory Hydra's tokens have `sid` alone, which two of these RPs cannot read. Logto
passes on its logout tokens with `sid`; its events have none. Of Auth0, way 1 needs the Enterprise plan. Clerk, Hanko, PingAM
and WorkOS name sessions; whether your RPs see the same id as `sid` in their ID tokens, their [pages](providers/index.md) say.

## What a provider tells

"yes" is that a sample of the format does so, as it is configured by default. Formats that you write yourself can tell
everything.

"""


def told() -> Iterator[tuple[str, ...]]:
    """Yield for each format whether starts, ends of a session and of all of a user's sessions are told, and for which reasons."""
    causes, reasons = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for formats, _, _, effect, reason, policy in effects.rows():
        for each in formats.replace("`", "").split(", "):
            if not policy.endswith("(off)"):
                causes[each].add(effect.removesuffix(" at one client"))
                reasons[each] |= {reason} - {""}
    for each in sorted(causes):
        has = ["yes" if effect in causes[each] else "" for effect in (STARTS, ONE_SESSION, ALL_SESSIONS)]
        yield f"`{each}`", *has, ", ".join(sorted(reasons[each]))


def ways(provider: IdentityProvider, rp: RelyingParty) -> str:
    """Return the cell of a provider and an RP."""
    found = ["1"] if provider.passes_on and (provider.names_sub or rp.takes_sid) else []
    found.append("2" if rp.reads_any_jwks else "2p")
    found += ["3", "4"] if provider.takes_keys else []
    found += ["3r"] if rp.own_list and not provider.takes_keys else []
    if provider.has_sid:
        return " ".join(found)
    return f"{' '.join(found)} all" if rp.takes_sub else "-"


def render() -> str:
    """Return the document."""
    head = [f"[{rp.name}](relying-parties/{rp.page}.md){'' if rp.was_run else ' \\*'}" for rp in RELYING_PARTIES]
    rows = ([f"[{each.name}](providers/{each.page}.md)", *(ways(each, rp) for rp in RELYING_PARTIES)] for each in PROVIDERS)
    formats = table(("format", "login", "one session", "all of a user's", "reasons"), told())
    return HEAD + table(("", *head), rows) + LEGEND + formats


if __name__ == "__main__":
    DOCUMENT.write_text(render())
