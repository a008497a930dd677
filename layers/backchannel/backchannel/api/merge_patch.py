"""JSON Merge Patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Any

MEDIA_TYPE = "application/merge-patch+json"


def merged(document: Any, patch: Any) -> Any:
    """Return a document as the patch changes it (section 2): null removes a member, an array is replaced as a whole."""
    if not isinstance(patch, Mapping):
        return patch
    result: dict[str, Any] = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
