"""ProvidersTable: providers with their key rings, and below each its sources and its clients.

| pk | sk | |
|---|---|---|
| ``PROVIDER#<provider>`` | ``PROVIDER`` | issuer, key ring, upstream |
| ``PROVIDER#<provider>`` | ``SOURCE#<source>`` | format, sid_trust, the secret's name |
| ``PROVIDER#<provider>`` | ``CLIENT#<client_id>`` | registered metadata |
| ``ISSUER#<issuer>`` | ``ISSUER`` | whose issuer this is |
| ``CHANGE#<provider>`` | ``<source>`` | somebody changes this source now: ``source_changes.py`` |
| ``PROVIDERS`` | ``<provider>`` | the list of providers, and of those that were removed |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from pynamodb.attributes import JSONAttribute, UnicodeAttribute, VersionAttribute
from pynamodb.models import Model

from backchannel.aws.dynamodb import ConditionFailedError, Page, bind, key, part, partition_page, read, storage, transaction
from backchannel.errors import ConflictError, NotFoundError, StorageUnavailable
from backchannel.providers.clients import ALL_BUT_EXPIRED, Client
from backchannel.providers.sources import Source
from backchannel.reasons import Reason
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.locations import Upstream

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What a provider or a source can be called. Whoever asks for another name, of any length, asks for what cannot exist."""

_LIST = "PROVIDERS"

_TRIES = 8
"""How often a change is made of a provider that others change at the same time."""


type Recipients = Literal["sessions", "all_clients"]
"""Who is told of an end: the clients of known RP sessions, or every client."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Provider: one issuer and the keys that sign its logout tokens.

    ``session_lifetime`` is how many seconds after its start a session ends by itself, None where that is not known. A key that
    has signed for ``key_rotation_days`` is followed by another; None leaves that to requests.
    ``upstream`` is where the provider publishes keys and metadata of its own, None where that is not known.
    """

    provider: str
    issuer: str
    keys: tuple[SigningKey, ...]
    session_lifetime: int | None = None
    key_rotation_days: int | None = None
    upstream: Upstream | None = None
    recipients: Recipients = "sessions"

    def in_public_networks(self) -> Provider:
        """Return the provider as it is where private networks are not permitted, or not any more."""
        return self if self.upstream is None else replace(self, upstream=replace(self.upstream, allowed_networks=()))


class _ProviderItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    document = JSONAttribute()


class _VersionedItem(_ProviderItem):
    """A provider: changes that were made of the same version are not lost, since only the first is stored."""

    version = VersionAttribute()


class Providers:
    """The operations on ProvidersTable.

    Without ``permit_private_networks``, clients, sources and upstreams are read without their ``allowed_networks``.
    """

    def __init__(self, dynamodb: DynamoDBClient, table_name: str, *, permit_private_networks: bool = True) -> None:
        self._items = bind(_ProviderItem, dynamodb, table_name)
        self._providers = bind(_VersionedItem, dynamodb, table_name)
        self._permit_private_networks = permit_private_networks

    def get(self, provider: str) -> Provider:
        """Return a provider.

        Raises:
            NotFoundError: there is none of this name.

        """
        document = self._read(_pk(provider), "PROVIDER") if _is_name(provider) else None
        if document is None:
            raise NotFoundError.of("provider", provider)
        found = _provider(document)
        return found if self._permit_private_networks else found.in_public_networks()

    def listed(self, after: str | None, limit: int) -> Page[Provider]:
        """Return a page of the providers in order of name; one that was removed lately leaves it shorter."""
        found = partition_page(self._items, _LIST, None, after=after, limit=limit)
        keys = [(_pk(item.sk), "PROVIDER") for item in found.items if not item.document.get("is_removed")]
        with storage():
            documents = [item.document for item in self._items.batch_get(keys, consistent_read=True)]
        return Page(sorted(map(_provider, documents), key=lambda each: each.provider), found.cursor)

    def names(self) -> list[str]:
        """Return the names of all providers."""
        return [name for name, document in self._listed() if not document.get("is_removed")]

    def names_ever(self) -> list[str]:
        """Return the names of all providers, and of those that were removed."""
        return [name for name, _ in self._listed()]

    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        with storage():
            return [(item.sk, item.document) for item in self._items.query(_LIST, consistent_read=True)]

    def create(self, provider: Provider) -> None:
        """Store a new provider; the issuer becomes its own.

        Raises:
            ConflictError: a provider of this name, or one with this issuer, is there already.

        """
        is_new = self._items.pk.does_not_exist()
        try:
            with transaction(self._items) as writes:
                writes.save(self._providers(_pk(provider.provider), "PROVIDER", document=asdict(provider)))
                writes.save(self._claim(provider), is_new)
                writes.save(self._items(_LIST, provider.provider, document={}))
        except ConditionFailedError as error:
            if self._read(_pk(provider.provider), "PROVIDER") != json.loads(json.dumps(asdict(provider))):
                raise ConflictError("a provider of this name, or with this issuer, is there already") from error
            # An earlier try of this very request has written all of them.

    def change(self, provider: str, change: Callable[[Provider], Provider]) -> Provider:
        """Change a provider as it is now, whoever else changes it at the same time, and return it; its issuer is what it was.

        Raises:
            NotFoundError: there is none of this name.
            StorageUnavailable: others changed it each time.

        """
        for _ in range(_TRIES):
            item = read(self._providers, _pk(provider), "PROVIDER")
            if item is None:
                raise NotFoundError.of("provider", provider)
            found = _provider(item.document)
            changed = change(found)
            if changed == found:
                return found
            item.document = asdict(changed)
            try:
                with storage():
                    item.save()
            except ConditionFailedError:
                continue
            return changed
        raise StorageUnavailable("the provider was changed by others")

    def by_issuer(self, issuer: str) -> Provider:
        """Return the provider of an issuer.

        Raises:
            NotFoundError: no provider has it.

        """
        claim = self._read(key("ISSUER", issuer), "ISSUER")
        if claim is None:
            raise NotFoundError.of("provider of issuer", issuer)
        return self.get(claim["provider"])

    def delete(self, provider: str) -> None:
        """Remove a provider that has neither sources nor clients. That it was there is remembered: its keys are to be deleted.

        Raises:
            ConflictError: it still has some.
            NotFoundError: there is none of this name.

        """
        found = self.get(provider)
        with storage():
            below = [item.sk for item in self._items.query(_pk(provider), limit=2) if item.sk != "PROVIDER"]
        if below:
            raise ConflictError("the provider still has sources or clients")
        with transaction(self._items) as writes:
            writes.delete(self._items(_pk(provider), "PROVIDER"))
            writes.delete(self._claim(found))
            writes.save(self._items(_LIST, provider, document={"is_removed": True}))

    def get_source(self, provider: str, source: str) -> Source:
        """Return a source.

        Raises:
            NotFoundError: the provider has none of this name.

        """
        document = self._read(_pk(provider), key("SOURCE", source)) if _is_name(provider) and _is_name(source) else None
        if document is None:
            raise NotFoundError.of("source", source)
        found = _source(document)
        return found if self._permit_private_networks else replace(found, allowed_networks=())

    def sources_page(self, provider: str, after: str | None, limit: int) -> Page[Source]:
        """Return a page of the provider's sources in order of name."""
        names = self._items.sk.startswith(key("SOURCE", ""))
        found = partition_page(self._items, _pk(provider), names, after=after, limit=limit)
        return Page([_source(item.document) for item in found.items], found.cursor)

    def sources(self, provider: str) -> list[Source]:
        """Return the sources of a provider."""
        with storage():
            found = self._items.query(_pk(provider), self._items.sk.startswith(key("SOURCE", "")), consistent_read=True)
            return [_source(item.document) for item in found]

    def change_source(self, provider: str, source: str, change: Callable[[Source | None], Source]) -> Source:
        """Store a source in the place of what is there now, None for nothing, and return it.

        Raises:
            StorageUnavailable: others changed it each time.

        """
        return self._change(_pk(provider), key("SOURCE", source), _source, change)

    def delete_source(self, provider: str, source: str) -> None:
        """Remove a source, if there is one."""
        self._remove(_pk(provider), key("SOURCE", source))

    def get_client(self, provider: str, client_id: str) -> Client:
        """Return a client.

        Raises:
            NotFoundError: none of this id is registered at the provider.

        """
        document = self._read(_pk(provider), key("CLIENT", part(client_id)))
        if document is None:
            raise NotFoundError.of("client", client_id)
        client = _client(document)
        return client if self._permit_private_networks else replace(client, allowed_networks=())

    def put_client(self, provider: str, client: Client) -> None:
        """Store a client, whatever is there."""
        self.change_client(provider, client.client_id, lambda _: client)

    def change_client(self, provider: str, client_id: str, change: Callable[[Client | None], Client]) -> Client:
        """Store a client in the place of what is there now, None for nothing, and return it.

        Raises:
            StorageUnavailable: others changed it each time.

        """
        return self._change(_pk(provider), key("CLIENT", part(client_id)), _client, change)

    def delete_client(self, provider: str, client_id: str) -> None:
        """Remove a client, if there is one."""
        self._remove(_pk(provider), key("CLIENT", part(client_id)))

    def get_clients(self, provider: str, client_ids: Collection[str]) -> list[Client]:
        """Return those of the clients that are registered."""
        keys = [(_pk(provider), key("CLIENT", part(client_id))) for client_id in client_ids]
        with storage():
            return [_client(item.document) for item in self._items.batch_get(keys, consistent_read=True)]

    def clients(self, provider: str, after: str | None, limit: int) -> Page[Client]:
        """Return a page of the provider's clients in order of key."""
        keys = self._items.sk.startswith(key("CLIENT", ""))
        found = partition_page(self._items, _pk(provider), keys, after=after, limit=limit)
        return Page([_client(item.document) for item in found.items], found.cursor)

    def all_clients(self, provider: str) -> Iterator[Client]:
        """Yield the provider's clients in order of key."""
        after: str | None = None
        while True:
            page = self.clients(provider, after, 100)
            yield from page.items
            if page.cursor is None:
                return
            after = page.cursor

    def _claim(self, provider: Provider) -> _ProviderItem:
        """Return the item that makes the issuer the provider's own."""
        return self._items(key("ISSUER", provider.issuer), "ISSUER", document={"provider": provider.provider})

    def _read(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = read(self._items, pk, sk)
        return None if item is None else item.document

    def _change[T: (Source, Client)](
        self, pk: str, sk: str, parse: Callable[[Mapping[str, Any]], T], change: Callable[[T | None], T]
    ) -> T:
        """Write what ``change`` makes of an item, on condition that this is still as it was read; ``change`` may run again."""
        items = self._items
        for _ in range(_TRIES):
            item = read(items, pk, sk)
            found = None if item is None else parse(item.document)
            changed = change(found)
            if changed == found:
                return changed
            is_unchanged = items.pk.does_not_exist() if item is None else items.document == item.document
            try:
                with storage():
                    items(pk, sk, document=asdict(changed)).save(is_unchanged)
            except ConditionFailedError:
                continue
            return changed
        raise StorageUnavailable("others changed it at the same time")

    def _remove(self, pk: str, sk: str) -> None:
        with storage():
            self._items(pk, sk).delete()


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME, text) is not None


def _pk(provider: str) -> str:
    return key("PROVIDER", provider)


def _known[T](kind: type[T], document: Mapping[str, Any], **changed: Any) -> T:
    """Read a document; a newer version of this service may have written members that this one does not know."""
    known = {field.name: document[field.name] for field in fields(kind) if field.name in document}  # type: ignore[arg-type]
    return kind(**{**known, **changed})


def _provider(document: Mapping[str, Any]) -> Provider:
    keys = tuple(_known(SigningKey, each) for each in document["keys"])
    return _known(Provider, document, keys=keys, upstream=_upstream(document.get("upstream")))


def _source(document: Mapping[str, Any]) -> Source:
    networks, ends = tuple(document.get("allowed_networks", ())), document.get("ends_sessions")
    issuers = tuple(document.get("subject_issuers", ()))
    return _known(
        Source,
        document,
        allowed_networks=networks,
        ends_sessions=None if ends is None else tuple(ends),
        subject_issuers=issuers,
    )


def _upstream(document: Mapping[str, Any] | None) -> Upstream | None:
    return None if document is None else _known(Upstream, document, allowed_networks=tuple(document["allowed_networks"]))


def _client(document: Mapping[str, Any]) -> Client:
    networks = tuple(document["allowed_networks"])
    return _known(Client, document, allowed_networks=networks, logout_reasons=_logout_reasons(document))


def _logout_reasons(document: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Return the reasons that a client wants to hear of. Earlier versions stored only whether it wants to hear of expiry."""
    if "logout_reasons" in document:
        return tuple(reason for reason in Reason if reason in document["logout_reasons"])
    return tuple(Reason) if document.get("logout_on_expiry") else ALL_BUT_EXPIRED
