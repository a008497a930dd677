"""How many tokens a logout becomes: what its fan-out and its deliveries will decide, for the pace and for dry runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Self

from backchannel.errors import NotFoundError
from backchannel.logouts.mass.records import Entry
from backchannel.providers.clients import Client
from backchannel.providers.table import Provider, Providers
from backchannel.reasons import Reason

MOST_CLIENTS = 1_000
"""Clients of a provider that are looked at. Any other counts as one that is told by ``sub``."""

type Untold = Literal["no_backchannel_logout_uri", "suppressed", "provider_tokens_only"]


@dataclass(frozen=True, slots=True)
class Audience:
    """The clients of a mass logout's scope; ``others`` is whether there are more than these.

    ``everybody``: those who are told of each subject, whoever is logged in there; none, unless the provider's recipients are all.
    """

    clients: Mapping[str, Client]
    reason: Reason
    others: bool = False
    everybody: Sequence[str] = ()

    @classmethod
    def of(cls, providers: Providers, provider: Provider, client_id: str | None, reason: Reason) -> Self:
        """Return the audience of a scope as it is registered now.

        Raises:
            StorageUnavailable: the clients could not be read.

        """
        if client_id is None:
            found = list(islice(providers.all_clients(provider.provider), MOST_CLIENTS + 1))
        else:
            found = _client(providers, provider.provider, client_id)
        clients = {each.client_id: each for each in found[:MOST_CLIENTS]}
        tells_all = provider.recipients == "all_clients"
        told = [each for each in clients.values() if untold(each, reason) is None and not each.needs_sid] if tells_all else []
        return cls(clients, reason, len(found) > MOST_CLIENTS, tuple(each.client_id for each in told))

    def tokens(self, entry: Entry) -> dict[str, int]:
        """Return how many tokens each client is sent for a logout; clients that are sent none are not named."""
        counted = {client_id: self._tokens(entry, client_id, sids) for client_id, sids in entry.sids.items()}
        if entry.sid is None:
            counted = {**dict.fromkeys(self.everybody, 1), **counted}
        return {client_id: number for client_id, number in counted.items() if number}

    def waits(self, client_id: str, since: int) -> bool:
        """Whether a client's deliveries may be pending for however long: it is paused, or was until after this time."""
        client = self.clients.get(client_id)
        if client is None:
            return self.others
        return client.paused or (client.resumed_at or 0) > since

    def _tokens(self, entry: Entry, client_id: str, sids: int) -> int:
        client = self.clients.get(client_id)
        if client is None:
            return int(self.others)
        if untold(client, self.reason) is not None:
            return 0
        if entry.sid is not None:
            return int(client.subject != "sub_only")
        return sids if client.needs_sid else 1


def untold(client: Client, reason: Reason) -> Untold | None:
    """Return why a client is sent no token of ours for this reason, None if it is sent one."""
    if client.backchannel_logout_uri is None:
        return "no_backchannel_logout_uri"
    if reason not in client.logout_reasons:
        return "suppressed"
    return None if client.own_tokens else "provider_tokens_only"


def _client(providers: Providers, provider: str, client_id: str) -> list[Client]:
    try:
        return [providers.get_client(provider, client_id)]
    except NotFoundError:
        return []
