"""Making a call's frame, reading its reply, and when to try it again. No sockets, no waiting."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from chatstore import calls
from chatstore.contract import Call, Outcome
from chatstore.errors import (
    ChatstoreError, DeadlineExceeded, InvalidArgument, ResourceExhausted, SourceFailure, Unavailable,
    status_error,
)
from chatstore.retry import Reason, Retry
from chatstore.sp import REQUEST_BYTES_MAX, Lost

T = TypeVar("T")

TIMEOUT_MS_MAX = (1 << 32) - 1
PAGE_SIZE = 1000


class Attempt(Generic[T]):
    """One call from its values to its answer, over as many tries as its time allows.

    A try that found no server, lost it, or was answered UNAVAILABLE is repeated as chatstore.retry
    says. Reads may be repeated without harm; writes carry a request_id, the same in every try, by
    which the server does them once.
    """

    def __init__(
        self,
        call: Call[T],
        values: Mapping[str, object],
        timeout: float,
        token: str,
        request_id: str | None = None,
    ) -> None:
        if not timeout > 0:
            raise InvalidArgument(f"{call.name}: timeout must be more than 0, not {timeout}")
        self.call = call
        self.deadline = time.monotonic() + timeout
        self._token = token
        self._retry = Retry()
        self._unknown = False
        self._reason = ""
        try:
            payload = call.request.encoder.encode(values)
        except ValueError as error:
            raise InvalidArgument(str(error), method=call.name) from None
        if len(payload) > REQUEST_BYTES_MAX:
            raise ResourceExhausted(
                f"{call.name}: the request has {len(payload)} bytes; "
                f"at most {REQUEST_BYTES_MAX} are sent", method=call.name)
        self._values: dict[str, object] = {"method": call.method, "payload": payload}
        if call.write:
            self._values["request_id"] = request_id or str(uuid.uuid4())

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def frame(self) -> bytes:
        """The encoded Request of the next try."""
        remaining_ms = int(self.remaining() * 1000) + 1
        self._values["timeout_ms"] = min(remaining_ms, TIMEOUT_MS_MAX)
        return calls.ENVELOPE_REQUEST.encoder.encode(
            {"token": self._token, "calls": [self._values]})

    def answer(self, reply: bytes, outcome: Outcome | None) -> T:
        """Field 1 of the response; raises what the status says."""
        response = self.response(reply, outcome)
        return cast(T, response.get(self.call.answer))

    def response(self, reply: bytes, outcome: Outcome | None) -> dict[str, Any]:
        """The whole response; raises what the status says."""
        response = self.call.response.decoder.decode(self.payload(reply, outcome))
        if outcome is not None:
            outcome.next_page_token = response.get("next_page_token", "")
        return response

    def payload(self, reply: bytes, outcome: Outcome | None) -> bytes:
        """The encoded response; raises what the status says."""
        payload = read_result(self.call.name, reply, outcome)
        if outcome is not None:
            outcome.attempts = self._retry.count + 1
        return payload

    def failed(self, error: Lost | Unavailable) -> float:
        """Seconds to wait before the next try; raises if there is none."""
        if isinstance(error, Unavailable):
            is_source = error.source or error.failed_sources
            reason = Reason.SOURCE if is_source else Reason.SERVER
        else:
            reason = Reason.LOST if error.sent else Reason.UNREACHED
            self._unknown |= error.sent
            if not error.late or not self._reason:
                self._reason = str(error)
        delay = self._retry.delay(reason, time.monotonic(), self.deadline)
        if delay is None:
            raise self._last(error) from None
        return delay

    def _last(self, error: Lost | Unavailable) -> ChatstoreError:
        if isinstance(error, Unavailable):
            return error
        kind = DeadlineExceeded if self._unknown and self.call.write else Unavailable
        unknown = "; whether it was carried out is not known" if self._unknown else ""
        return kind(f"{self.call.name}: {self._reason}{unknown}", method=self.call.name)

    def too_late(self) -> DeadlineExceeded:
        """The error of a reply that did not come in time."""
        return DeadlineExceeded(
            f"{self.call.name}: no reply in time; whether it was carried out is not known",
            method=self.call.name)


def read_result(method: str, reply: bytes, outcome: Outcome | None) -> bytes:
    """The payload of the one result; raises what the status says."""
    try:
        results = calls.ENVELOPE_REPLY.decoder.decode(reply)["results"]
    except ValueError as error:
        raise status_error(13, f"{method}: the reply cannot be read: {error}", method) from None
    if len(results) != 1:
        raise status_error(13, f"{method}: {len(results)} results for one call", method)
    result = results[0]
    failed_sources = [SourceFailure(**each) for each in result["failed_sources"]]
    if outcome is not None:
        outcome.source = result["source"]
        outcome.merged_sources = result["merged_sources"]
        outcome.failed_sources = failed_sources
    status = result["status"]
    if status is not None and status["code"] != 0:
        raise status_error(
            status["code"], status["message"], method, result["source"], failed_sources)
    payload: bytes = result["payload"]
    return payload


def find_call(method: str) -> Call[Any]:
    """The call of this name, bare ("GetChatUser") or whole."""
    for call in calls.CALLS:
        if method in (call.name, call.method):
            return call
    raise InvalidArgument(f'there is no call "{method}"', method=method)
