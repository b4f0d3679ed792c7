"""WebSocket as any library speaks it: a client typed from docs/clients.md and RFC 6455, with the
long frames that nng's own client never sends."""

import base64
import os
import socket
import ssl
import struct
import unittest

import support

from chatstore import calls

SUBPROTOCOL = "rep.sp.nanomsg.org"
CONTINUATION, BINARY, CLOSE = 0, 2, 8
TOO_BIG = 1009


class WebSocket:
    """One connection, after its handshake."""

    def __init__(self, port, host="127.0.0.1", context=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.socket.sendall(
            f"GET /chat HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.receive(1)
        self.status = int(head.split()[1])

    def receive(self, count):
        return support.receive_all(self.socket, count)

    def announce(self, first, length):
        """The header of a frame, with a mask of zeros."""
        if length < 126:
            head = struct.pack(">BB", first, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack(">BBH", first, 0x80 | 126, length)
        else:
            head = struct.pack(">BBQ", first, 0x80 | 127, length)
        self.socket.sendall(head + bytes(4))

    def send(self, body, fragments):
        """A message in so many frames."""
        size = -(-len(body) // fragments)
        for at in range(0, len(body), size):
            part = body[at:at + size]
            is_last = at + size >= len(body)
            self.announce((CONTINUATION if at else BINARY) | (0x80 if is_last else 0), len(part))
            self.socket.sendall(part)

    def read(self):
        """(kind, body) of a message."""
        kind, body, is_last = None, b"", False
        while not is_last:
            first, length = self.receive(2)
            if length >= 126:
                long = length == 127
                length, = struct.unpack(">Q" if long else ">H", self.receive(8 if long else 2))
            body += self.receive(length)
            kind, is_last = first & 15 or kind, first & 0x80
        return kind, body

    def call(self, number, call, values, fragments=1):
        """The response of a call that succeeds."""
        payload = call.request.encoder.encode(values)
        frame = calls.ENVELOPE_REQUEST.encoder.encode(
            {"calls": [{"method": call.method, "payload": payload}]})
        self.send(struct.pack(">I", number | 0x80000000) + frame, fragments)
        kind, body = self.read()
        assert (kind, body[:4]) == (BINARY, struct.pack(">I", number | 0x80000000)), (kind, body[:40])
        result, = calls.ENVELOPE_REPLY.decoder.decode(body[4:])["results"]
        assert result["status"] is None, result["status"]
        return call.response.decoder.decode(result["payload"])


class LongFrames(support.FolderCase):
    def check(self, port, context=None):
        plain = WebSocket(port, context=context)
        with plain.socket:
            self.assertEqual(plain.status, 101)
            for number, size in enumerate((10, 1000, 1_000_000, 1_500_000, (4 << 20) - 200)):
                text = chr(ord("a") + number) * size
                for fragments in (1, 3):
                    plain.call(2 * number + fragments, calls.SET_SETTING,
                               {"key": "k", "value": text}, fragments)
                    answer = plain.call(99, calls.GET_SETTING, {"key": "k"})
                    self.assertTrue(answer["value"] == text, f"{size} bytes, {fragments} fragments")
        plain = WebSocket(port, context=context)
        with plain.socket:
            plain.announce(0x80 | BINARY, (4 << 20) + 1)
            kind, body = plain.read()
            self.assertEqual((kind, struct.unpack(">H", body[:2])), (CLOSE, (TOO_BIG,)))

    def test_plain(self):
        server = support.Server(self.folder, "--db", self.path("bot.db"),
                                listen="ws://127.0.0.1:0/chat")
        self.addCleanup(server.stop)
        self.check(server.port())

    def test_tls(self):
        folder = support.make_certificates(self.folder)
        with open(self.path("chatstore.toml"), "w", encoding="utf-8") as file:
            file.write('[database]\npath = "bot.db"\n[service.tls]\n'
                       'certificate = "tls/server.pem"\nkey = "tls/server.key"\n')
        server = support.Server(self.folder, "--config", self.path("chatstore.toml"),
                                listen="wss://127.0.0.1:0/chat")
        self.addCleanup(server.stop)
        self.check(server.port(), ssl.create_default_context(cafile=f"{folder}/ca.pem"))

    def test_names(self):
        """As docs/clients.md says: the Host of the request must be the one in the server's URL,
        unless that is every address."""
        for listen, host, status in (("127.0.0.1", "localhost", 404), ("127.0.0.1", "127.0.0.1", 101),
                                     ("localhost", "localhost", 101), ("0.0.0.0", "any.name", 101),
                                     ("[::]", "any.name", 101)):
            with self.subTest(listen=listen, host=host):
                server = support.Server(
                    self.folder, "--db", self.path("bot.db"), "--insecure-listen",
                    listen=f"ws://{listen}:0/chat")
                plain = WebSocket(server.port(), host=host)
                plain.socket.close()
                server.stop()
                self.assertEqual(plain.status, status)


if __name__ == "__main__":
    unittest.main()
