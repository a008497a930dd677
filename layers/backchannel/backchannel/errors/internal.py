"""Internal: no attempt is spent, the message goes back to its queue."""

from typing import ClassVar

from backchannel.errors.root import BackchannelError


class InternalFailure(BackchannelError):  # noqa: N818 - the counterpart of RelyingPartyFault
    """Something on our side is missing or does not answer; ``shown`` is what a caller is told, None for the message."""

    code = "internal_failure"
    shown: ClassVar[str | None] = "something on our side does not answer; nothing was lost, send it again"


class SigningUnavailable(InternalFailure):
    """KMS throttled, unreachable or refusing."""

    code = "signing_unavailable"


class KeyServiceUnavailable(InternalFailure):
    """KMS did not make, show or delete a key."""

    code = "key_service_unavailable"


class FunctionUnavailable(InternalFailure):
    """Another function of this stack failed, or did not answer in time."""

    code = "function_unavailable"


class StorageUnavailable(InternalFailure):
    """A table throttled or unreachable."""

    code = "storage_unavailable"


class DocumentUnavailable(InternalFailure):
    """A document of somebody else's was not to be had, and there is no copy that is young enough to do without."""

    code = "document_unavailable"


class DocumentInvalid(DocumentUnavailable):
    """The document is there, but it is not what its reader needs."""

    code = "document_invalid"


class KidClash(InternalFailure):
    """The provider publishes another key under the ``kid`` of one of ours: whichever a relying party took could be wrong."""

    code = "kid_clash"
    shown = None


class QueueUnavailable(InternalFailure):
    """SQS throttled, unreachable, or refusing a message."""

    code = "queue_unavailable"


class EventBusUnavailable(InternalFailure):
    """EventBridge throttled, unreachable or refusing, or there is no such bus."""

    code = "event_bus_unavailable"


class OutOfTime(InternalFailure):
    """Too little time is left to POST a token and to record the result."""

    code = "out_of_time"


class MessageStuck(InternalFailure):
    """Internal failures have held this message up for days; it belongs in the dead-letter queue."""

    code = "message_stuck"


class MessageNotUnderstood(InternalFailure):
    """No version of this service wrote this message; it belongs in the dead-letter queue."""

    code = "message_not_understood"
