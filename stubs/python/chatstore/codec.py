"""The wire format of protobuf, from and to dictionaries.

The package needs no protobuf library: what it must know of the messages is generated from the
contract. Encoder and Decoder exist twice with the same behaviour, in C (chatstore._native, used
where it was built) and here.

An int is taken for a text field and becomes its decimal text: message ids are both.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

KINDS: dict[str, int] = {
    "int64": 0, "int32": 1, "uint32": 2, "bool": 3, "double": 4,
    "string": 5, "bytes": 6, "timestamp": 7, "message": 8,
}
_INT64, _INT32, _UINT32, _BOOL, _DOUBLE, _STRING, _BYTES, _TIMESTAMP, _MESSAGE = range(9)
_RANGES = {_INT64: (-(1 << 63), (1 << 63) - 1), _INT32: (-(1 << 31), (1 << 31) - 1),
           _UINT32: (0, (1 << 32) - 1)}
_ZEROS: dict[int, object] = {
    _INT64: 0, _INT32: 0, _UINT32: 0, _BOOL: False, _DOUBLE: 0.0, _STRING: "", _BYTES: b"",
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRE = {_DOUBLE: _FIXED64, _STRING: _LENGTH, _BYTES: _LENGTH, _TIMESTAMP: _LENGTH,
         _MESSAGE: _LENGTH}
_DOUBLE_FORMAT = struct.Struct("<d")
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)

# number, name, kind, repeated, presence, message
EncoderField = tuple[int, str, int, bool, bool, Any]
# number, key, kind, repeated, presence, message, known values of a text, whether the message's
# fields become keys of the dictionary itself (None if it is absent)
DecoderField = tuple[int, str, int, bool, bool, Any, "Mapping[str, str] | None", bool]


def varint(value: int) -> bytes:
    """A number below 2**64 as it travels."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class PureEncoder:
    """Makes the bytes of one kind of message."""

    def __init__(self, name: str, fields: Sequence[EncoderField]) -> None:
        self._name = name
        self._fields = [
            (varint(number << 3 | _WIRE.get(kind, _VARINT)), name, kind, repeated, presence, inner)
            for number, name, kind, repeated, presence, inner in fields
        ]

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """Raises TypeError for a value of another type, ValueError for one out of its range."""
        out = bytearray()
        used = 0
        for key, name, kind, repeated, presence, inner in self._fields:
            if name not in values:
                continue
            value = values[name]
            used += 1
            if repeated:
                for each in value:
                    out += key
                    self._append(out, name, kind, each, inner)
            elif value is None:
                if not presence:
                    raise TypeError(f"{self._name}: {name} may not be None")
            elif presence or not self._is_zero(kind, value):
                out += key
                self._append(out, name, kind, value, inner)
        if used != len(values):
            known = {each[1] for each in self._fields}
            unknown = ", ".join(str(each) for each in values if each not in known)
            raise TypeError(f"{self._name} has no field {unknown}")
        return bytes(out)

    @staticmethod
    def _is_zero(kind: int, value: object) -> bool:
        if kind == _STRING:
            return value == ""
        return kind not in (_TIMESTAMP, _MESSAGE) and not value

    def _append(self, out: bytearray, name: str, kind: int, value: Any, inner: Any) -> None:
        if kind <= _UINT32:
            out += varint(self._integer(name, kind, value))
        elif kind == _BOOL:
            out.append(1 if value else 0)
        elif kind == _DOUBLE:
            if not isinstance(value, (int, float)):
                raise self._type_error(name, "a number", value)
            out += _DOUBLE_FORMAT.pack(value)
        else:
            data = self._bytes(name, kind, value, inner)
            out += varint(len(data))
            out += data

    def _integer(self, name: str, kind: int, value: object) -> int:
        if not isinstance(value, int):
            raise self._type_error(name, "an int", value)
        low, high = _RANGES[kind]
        if not low <= value <= high:
            raise ValueError(f"{self._name}: {name} is out of the range of its type: {value}")
        return int(value) & 0xFFFFFFFFFFFFFFFF

    def _bytes(self, name: str, kind: int, value: Any, inner: Any) -> bytes:
        if kind == _STRING:
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if not isinstance(value, str):
                raise self._type_error(name, "a str", value)
            return value.encode()
        if kind == _BYTES:
            if not isinstance(value, bytes):
                raise self._type_error(name, "bytes", value)
            return value
        if kind == _TIMESTAMP:
            if not isinstance(value, datetime):
                raise self._type_error(name, "a datetime", value)
            return _timestamp_bytes(value)
        data: bytes = inner.encode(value)
        return data

    def _type_error(self, name: str, wanted: str, value: object) -> TypeError:
        return TypeError(f"{self._name}: {name} must be {wanted}, not {type(value).__name__}")


def _timestamp_bytes(value: datetime) -> bytes:
    if value.tzinfo is not None:
        value = value.astimezone(timezone.utc).replace(tzinfo=None)
    seconds, rest = divmod(value - _EPOCH, _SECOND)
    out = b"\x08" + varint(seconds & 0xFFFFFFFFFFFFFFFF) if seconds else b""
    return out + b"\x10" + varint(rest.microseconds * 1000) if rest else out


class PureDecoder:
    """Makes dictionaries of the bytes of one kind of message.

    They have every field: an absent one with presence is None, one without is zero or empty.
    Fields that the contract does not know are skipped.
    """

    def __init__(self, name: str, zone: tzinfo | None, fields: Sequence[DecoderField]) -> None:
        self._name = name
        self._zone = zone
        self._fields: dict[int, tuple[str, int, bool, PureDecoder | None, Any, bool]] = {}
        self.template: dict[str, object] = {}
        self._lists: list[str] = []
        for number, key, kind, repeated, presence, inner, known, flat in fields:
            wire_key = number << 3 | _WIRE.get(kind, _VARINT)
            self._fields[wire_key] = (key, kind, repeated, inner, known, flat)
            if flat:
                self.template.update(dict.fromkeys(inner.template))
            elif repeated:
                self._lists.append(key)
                self.template[key] = None
            else:
                absent = presence or kind in (_TIMESTAMP, _MESSAGE)
                self.template[key] = None if absent else _ZEROS[kind]

    def decode(self, data: bytes) -> dict[str, Any]:
        """Raises ValueError if the bytes are no such message."""
        row = self.template.copy()
        try:
            self._fill(row, data, 0, len(data))
        except (IndexError, struct.error):
            raise ValueError(f"the bytes end in the middle of a {self._name}") from None
        return row

    def _fill(self, row: dict[str, Any], data: bytes, at: int, end: int) -> None:
        for key in self._lists:
            row[key] = []
        fields = self._fields
        while at < end:
            number, at = _read_varint(data, at)
            entry = fields.get(number)
            if number & 7 == _LENGTH:
                size, at = _read_varint(data, at)
                start, at = at, at + size
                if at > end:
                    raise IndexError
                if entry is not None:
                    self._take(row, entry, data, start, at)
            elif number & 7 == _VARINT:
                value, at = _read_varint(data, at)
                if entry is not None:
                    row[entry[0]] = _integer(entry[1], value)
            elif number & 7 in (_FIXED64, _FIXED32):
                size = 8 if number & 7 == _FIXED64 else 4
                if at + size > end:
                    raise IndexError
                if entry is not None:
                    row[entry[0]] = _DOUBLE_FORMAT.unpack_from(data, at)[0]
                at += size
            else:
                raise ValueError(f"the bytes are no {self._name}")
        if at != end:
            raise IndexError

    def _take(self, row: dict[str, Any], entry: Any, data: bytes, start: int, end: int) -> None:
        key, kind, repeated, inner, known, flat = entry
        value: Any
        if kind == _STRING:
            value = str(data[start:end], "utf-8")
            if known is not None:
                value = known.get(value, value)
        elif kind == _MESSAGE:
            if flat:
                row.update(inner.template)
                inner._fill(row, data, start, end)
                return
            value = inner.template.copy()
            inner._fill(value, data, start, end)
        elif kind == _TIMESTAMP:
            value = self._time(data, start, end)
        else:
            value = data[start:end]
        if repeated:
            row[key].append(value)
        else:
            row[key] = value

    def _time(self, data: bytes, at: int, end: int) -> datetime:
        seconds = nanos = 0
        while at < end:
            number, at = _read_varint(data, at)
            value, at = _read_varint(data, at)
            if number == 8:
                seconds = _integer(_INT64, value)
            elif number == 16:
                nanos = _integer(_INT64, value)
            else:
                raise ValueError(f"the bytes are no {self._name}")
        try:
            if not 0 <= nanos < 1000000000:
                raise OverflowError
            made = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
        except OverflowError:
            raise ValueError(f"{self._name}: a time outside of the years 1 to 9999") from None
        return made.replace(tzinfo=self._zone)


def _integer(kind: int, value: int) -> Any:
    if kind == _BOOL:
        return value != 0
    if kind == _UINT32:
        return value & 0xFFFFFFFF
    if kind == _INT32:
        value &= 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value
    return value - (1 << 64) if value >> 63 else value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 10 bytes")


try:
    native: Any = importlib.import_module("chatstore._native")
except ImportError:
    native = None

if TYPE_CHECKING or native is None:
    Encoder = PureEncoder
    Decoder = PureDecoder
else:
    Encoder = native.Encoder
    Decoder = native.Decoder
