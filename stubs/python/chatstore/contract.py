"""What the generated calls are made of: messages, calls, and what comes of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from datetime import timezone
from typing import Generic, TypeVar

from chatstore import codec
from chatstore.errors import SourceFailure

T = TypeVar("T")


class Field:
    """A field of a message. kind: a protobuf type by name, or "timestamp", or "message"."""

    __slots__ = ("number", "name", "kind", "repeated", "presence", "message")

    def __init__(
        self,
        number: int,
        name: str,
        kind: str,
        *,
        repeated: bool = False,
        presence: bool = False,
        message: Message | None = None,
    ) -> None:
        self.number = number
        self.name = name
        self.kind = kind
        self.repeated = repeated
        self.presence = presence
        self.message = message


class Message:
    """A message of the contract, with the codecs for it, made when they are first used."""

    def __init__(self, name: str, fields: tuple[Field, ...]) -> None:
        self.name = name
        self.fields = fields

    @cached_property
    def encoder(self) -> codec.Encoder:
        """From a dictionary by field names. Fields that are not in it are absent."""
        return codec.Encoder(self.name, [
            (each.number, each.name, codec.KINDS[each.kind], each.repeated, each.presence,
             each.message.encoder if each.message is not None else None)
            for each in self.fields
        ])

    @cached_property
    def decoder(self) -> codec.Decoder:
        """To a dictionary that has every field; times are aware, in UTC."""
        return codec.Decoder(self.name, timezone.utc, [
            (each.number, each.name, codec.KINDS[each.kind], each.repeated, each.presence,
             each.message.decoder if each.message is not None else None, None, False)
            for each in self.fields
        ])


class Call(Generic[T]):
    """A call of the contract; T is what it answers: field 1 of its response."""

    def __init__(
        self, name: str, method: str, request: Message, response: Message, *, write: bool
    ) -> None:
        self.name = name
        self.method = method
        self.request = request
        self.response = response
        self.write = write
        self.answer = response.fields[0].name if response.fields else ""

    def __repr__(self) -> str:
        return f"Call({self.method!r})"


@dataclass(slots=True)
class Outcome:
    """What came of a call beside its answer; filled by the call that is given one.

    Attributes:
        source: the source that answered; empty: the server itself, or several.
        merged_sources: of merged reads, the sources whose rows are in the answer.
        failed_sources: of merged reads, those that could not answer.
        attempts: how often the call was sent, or would have been with a connection.
        next_page_token: of lists that were asked for a page; empty: it was the last.
    """

    source: str = ""
    merged_sources: list[str] = field(default_factory=list)
    failed_sources: list[SourceFailure] = field(default_factory=list)
    attempts: int = 0
    next_page_token: str = ""


class AsyncRunner:
    """What AsyncCalls needs of the class that inherits it."""

    async def _run(
        self,
        call: Call[T],
        values: Mapping[str, object],
        timeout: float | None,
        outcome: Outcome | None,
        request_id: str | None,
    ) -> T:
        raise NotImplementedError


class SyncRunner:
    """What SyncCalls needs of the class that inherits it."""

    def _run(
        self,
        call: Call[T],
        values: Mapping[str, object],
        timeout: float | None,
        outcome: Outcome | None,
        request_id: str | None,
    ) -> T:
        raise NotImplementedError
