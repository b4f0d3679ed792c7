"""The SP protocol of nng over ipc, tcp and tls+tcp: bytes only, no sockets.

Both sides begin with 8 bytes that name their protocol. Then come messages: 8 bytes of length (over
ipc with a byte 1 before them), 4 bytes of request id with the highest bit set, and the body. The
answer to a request carries its id.
"""

from __future__ import annotations

import struct

HELLO = b"\x00SP\x00\x00\x30\x00\x00"
HELLO_OF_SERVER = b"\x00SP\x00\x00\x31\x00\x00"
ID_BYTES = 4
REQUEST_BYTES_MAX = 4 << 20
REPLY_BYTES_MAX = 64 << 20

_HEADER = struct.Struct(">QI")
_LENGTH = struct.Struct(">Q")
_ID = struct.Struct(">I")


class Lost(Exception):
    """The connection could not be made, or broke.

    Attributes:
        sent: whether the server may have got the request.
        late: whether time was up, and not something wrong.
    """

    def __init__(self, message: str, sent: bool, late: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.late = late


class TooLarge(Exception):
    """A reply is longer than this client takes."""


def check_hello(data: bytes) -> None:
    """Raises Lost if these 8 bytes do not come from a server of ours."""
    if data == HELLO_OF_SERVER:
        return
    if data[:4] == b"\x00SP\x00":
        number = int.from_bytes(data[4:6], "big")
        raise Lost(f"the other side speaks SP protocol {number:#x}, not REP (0x31)", False)
    raise Lost("what listens there does not speak nng's protocol", False)


class Framing:
    """The frames of one kind of connection."""

    def __init__(self, ipc: bool, reply_bytes_max: int) -> None:
        self._prefix = b"\x01" if ipc else b""
        self._reply_bytes_max = reply_bytes_max
        self.header_bytes = len(self._prefix) + _LENGTH.size + ID_BYTES

    def pack(self, number: int, body: bytes) -> bytes:
        """One message. number: the request id, below 2**31."""
        return b"".join((
            self._prefix, _HEADER.pack(len(body) + ID_BYTES, number | 0x80000000), body))

    def read_header(self, data: bytes | bytearray | memoryview) -> tuple[int, int]:
        """Request id and length of the body of the message whose first header_bytes these are.

        Raises Lost if they are no header; TooLarge, with the id as its argument, if the body is.
        """
        skip = len(self._prefix)
        length, number = _HEADER.unpack_from(data, skip)
        if bytes(data[:skip]) != self._prefix or length < ID_BYTES or not number & 0x80000000:
            raise Lost("the server sent bytes that are no reply", True)
        number &= 0x7FFFFFFF
        if length - ID_BYTES > self._reply_bytes_max:
            raise TooLarge(number, length - ID_BYTES, self._reply_bytes_max)
        return number, length - ID_BYTES
