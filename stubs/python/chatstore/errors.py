"""What a call can fail with: one exception for each status, all under ChatstoreError."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class SourceFailure:
    """A source that could not take part in a merged read."""

    source: str
    code: int
    message: str


class ChatstoreError(Exception):
    """A call failed.

    Attributes:
        code: the status as a google.rpc code.
        method: the call's name, as in "GetChatUser"; empty where the client itself failed.
        source: the source that answered; empty if none did.
        failed_sources: the sources that failed in a merged read.
    """

    code = 2
    status = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        source: str = "",
        failed_sources: Sequence[SourceFailure] = (),
    ) -> None:
        super().__init__(message)
        self.method = method
        self.source = source
        self.failed_sources = list(failed_sources)


class InvalidArgument(ChatstoreError, ValueError):
    """A field is missing or out of its range."""

    code, status = 3, "INVALID_ARGUMENT"


class DeadlineExceeded(ChatstoreError, TimeoutError):
    """The time was up. Whether the call was carried out is not known."""

    code, status = 4, "DEADLINE_EXCEEDED"


class NotFound(ChatstoreError, LookupError):
    """What the call works on does not exist."""

    code, status = 5, "NOT_FOUND"


class AlreadyExists(ChatstoreError):
    """What the call adds is there already."""

    code, status = 6, "ALREADY_EXISTS"


class PermissionDenied(ChatstoreError):
    """The client may not do this, or (Unauthenticated) is not known."""

    code, status = 7, "PERMISSION_DENIED"


class ResourceExhausted(ChatstoreError):
    """A limit, of the server or of this client; the text names it."""

    code, status = 8, "RESOURCE_EXHAUSTED"


class FailedPrecondition(ChatstoreError):
    """The source is readonly, or its schema lacks what the call needs."""

    code, status = 9, "FAILED_PRECONDITION"


class Aborted(ChatstoreError):
    """A write met another one; it may be tried again."""

    code, status = 10, "ABORTED"


class Unimplemented(ChatstoreError):
    """The server does not know the call: it is older than this client."""

    code, status = 12, "UNIMPLEMENTED"


class Internal(ChatstoreError):
    """A mistake of the server's."""

    code, status = 13, "INTERNAL"


class Unavailable(ChatstoreError, ConnectionError):
    """The server or the source cannot be reached."""

    code, status = 14, "UNAVAILABLE"


class DataLoss(ChatstoreError):
    """A file is damaged."""

    code, status = 15, "DATA_LOSS"


class Unauthenticated(PermissionDenied):
    """The token is missing or wrong."""

    code, status = 16, "UNAUTHENTICATED"


BY_CODE: dict[int, type[ChatstoreError]] = {
    each.code: each
    for each in (
        InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied,
        ResourceExhausted, FailedPrecondition, Aborted, Unimplemented, Internal, Unavailable,
        DataLoss, Unauthenticated,
    )
}


def status_error(
    code: int,
    message: str,
    method: str,
    source: str = "",
    failed_sources: Sequence[SourceFailure] = (),
) -> ChatstoreError:
    """The exception of a status."""
    kind = BY_CODE.get(code, ChatstoreError)
    text = message if code in BY_CODE else f"{message} (status {code})"
    error = kind(text, method=method, source=source, failed_sources=failed_sources)
    error.code = code
    return error
