"""The bodies of PATCH: every member of what PUT takes may be left out, or be null to return to its default."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError, create_model

from backchannel.api.merge_patch import merged
from backchannel.api.requests import ClientMetadata, ProviderMetadata, SourceMetadata, UpstreamMetadata, _Request
from backchannel.errors import ReadOnlyMemberError


def _all_optional(metadata: type[BaseModel]) -> Any:
    members: dict[str, Any] = {}
    for name, field in metadata.model_fields.items():
        optional = copy(field)
        optional.annotation, optional.default = field.annotation | None, None  # type: ignore[operator, assignment]
        members[name] = (optional.annotation, optional)
    return create_model(f"_{metadata.__name__}Patch", __base__=_Request, **members)


class UpstreamPatch(_all_optional(UpstreamMetadata)):  # type: ignore[misc] # made of the members of what PUT takes
    """What changes of an upstream."""


class ProviderPatch(_all_optional(ProviderMetadata)):  # type: ignore[misc]
    """What changes of a provider (RFC 7396)."""

    upstream: UpstreamPatch | None = None


class SourcePatch(_all_optional(SourceMetadata)):  # type: ignore[misc]
    """What changes of a webhook sender (RFC 7396)."""


class ClientPatch(_all_optional(ClientMetadata)):  # type: ignore[misc]
    """What changes of a relying party (RFC 7396)."""


def changed[M: BaseModel](kind: type[M], shown: BaseModel, patch: BaseModel) -> M:
    """Return what PUT would be sent to change what GET shows as a patch says.

    Raises:
        RequestValidationError: PUT would refuse it.

    """
    document = merged(shown.model_dump(), patch.model_dump(exclude_unset=True))
    return validated(kind, {name: value for name, value in document.items() if name in kind.model_fields})


def validated[M: BaseModel](kind: type[M], document: Mapping[str, Any]) -> M:
    """Read a document as if it were the body of a request.

    Raises:
        RequestValidationError: it does not match.

    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error


def refuse_changes(given: BaseModel, **read_only: object) -> None:
    """Check that a request gives read-only members as they are, or not at all.

    Raises:
        ReadOnlyMemberError: it gives one another value.

    """
    for name, value in read_only.items():
        if name in given.model_fields_set and getattr(given, name) != value:
            raise ReadOnlyMemberError.of(name)
