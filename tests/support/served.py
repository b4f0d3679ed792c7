"""chatstored as a process that tests look at from outside, peers that speak SP by hand, and what both are
judged by. Each judgement (settle, Witness.check) raises AssertionError; tests/load/gates.py proves it."""

import collections
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time

Usage = collections.namedtuple("Usage", "rss_kib files threads")
HELLO_REQ = b"\0SP\0\0\x30\0\0"
HELLO_BYTES = 8
WAIT_S_MAX = 60  # for what must come, however busy the machine is


def run(*arguments, token=None, check=False, timeout=2 * WAIT_S_MAX):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATSTORE_")}
    if token:
        environment["CHATSTORE_TOKEN"] = token
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=environment, check=check, timeout=timeout)


def files_of(pid):
    """The names of what its descriptors are; none where only root may look, as its memory is hidden."""
    folder, names = f"/proc/{pid}/fd", []
    try:
        entries = os.listdir(folder)
    except PermissionError:
        entries = []
    for name in entries:
        try:
            names.append(os.path.basename(os.readlink(os.path.join(folder, name))))
        except FileNotFoundError:
            pass  # closed meanwhile
    return sorted(names)


def usage_of(pid):
    """Descriptors without those of the sources' files, of which the pool keeps some, opened when needed."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    return Usage(int(status["VmRSS"].split()[0]), sum(".db" not in name for name in files_of(pid)), int(status["Threads"]))


class Server:
    """chatstored, from when it has said `until` to close(); what it says is in log()."""

    def __init__(self, program, folder, *arguments, files_max=None, until="ready: ", **options):
        self.path = os.path.join(folder, "server.log")

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))

        with open(self.path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=folder, preexec_fn=limit if files_max else None, **options)
        self.wait_for(until)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, text, count=1):
        until = time.monotonic() + WAIT_S_MAX
        while self.log().count(text) < count:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the server does not say {text!r}: {self.log()[-4000:]}")
            time.sleep(0.02)

    def port(self, scheme, host="127.0.0.1"):
        return int(re.search(rf"listening on {re.escape(f'{scheme}://{host}')}:(\d+)", self.log())[1])

    def file_count(self):
        return usage_of(self.pid).files

    def close(self, is_busy=False):
        """is_busy: it may have more to do than it ends in the time that it has to stop."""
        self.process.terminate()
        status = self.process.wait(WAIT_S_MAX)
        if status != 0 or (not is_busy and "cut off" in self.log()):
            raise AssertionError(f"the server ended with {status}: {self.log()[-4000:]}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def settle(pid, before, what, wait_s=WAIT_S_MAX):
    """Wait until descriptors and threads are no more than they were; what they are then."""
    until = time.monotonic() + wait_s
    while True:
        after = usage_of(pid)
        if after.files <= before.files and after.threads <= before.threads:
            return after
        if time.monotonic() > until:
            raise AssertionError(f"{what}: descriptors {before.files} -> {after.files}, threads {before.threads} -> "
                                 f"{after.threads} and they do not go back: {', '.join(files_of(pid))}")
        time.sleep(0.05)


# ---- Peers that speak SP by hand ----

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def frame_of(method, payload=b"", count=1, token=b""):
    """A Request of so many equal calls; the methods are written Service/Method."""
    call = field(1, f"/chatstore.v1.{method}".encode()) + (field(2, payload) if payload else b"")
    return (field(1, token) if token else b"") + field(2, call) * count


PING = frame_of("AdminService/Ping")


class Peer:
    """A connection: hello said and heard unless greet is false."""

    def __init__(self, address, greet=True, timeout_s=WAIT_S_MAX):
        self.is_ipc = isinstance(address, str)
        self.socket = socket.socket(socket.AF_UNIX if self.is_ipc else
                                    socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket.settimeout(timeout_s)
        self.number = 0
        try:
            self.socket.connect(address)
            if greet:
                self.greet()
        except OSError:
            self.socket.close()
            raise

    def greet(self):
        self.socket.sendall(HELLO_REQ)
        self.receive_bytes(HELLO_BYTES)

    def message(self, frame):
        self.number += 1
        body = struct.pack(">I", 1 << 31 | self.number) + frame
        return (b"\1" if self.is_ipc else b"") + struct.pack(">Q", len(body)) + body

    def send(self, frame):
        self.socket.sendall(self.message(frame))

    def receive_bytes(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def receive(self):
        head = self.receive_bytes(9 if self.is_ipc else 8)
        return self.receive_bytes(struct.unpack(">Q", head[-8:])[0])[4:]

    def call(self, frame):
        self.send(frame)
        return self.receive()

    def close(self):
        self.socket.close()

    def reset(self):
        """Close with a reset instead of an end (tcp)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class WebSocketPeer(Peer):
    """The same over a WebSocket (RFC 6455). Its frames go out masked with zeros, so as they are."""

    TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9

    def __init__(self, address, path, tls=None, timeout_s=WAIT_S_MAX):
        super().__init__(address, greet=False, timeout_s=timeout_s)
        self.host, self.path = f"{address[0]}:{address[1]}", path
        try:
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
            self.greet()
        except OSError:
            self.socket.close()
            raise

    def greet(self):
        self.socket.sendall(f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                            "Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # nothing follows it: the server only answers
            part = self.socket.recv(4096)
            if not part:
                raise ConnectionError("closed")
            answer += part
        if b" 101 " not in answer.splitlines()[0]:
            raise ConnectionError(answer.decode())

    def frame(self, opcode, body, is_last=True):
        length = (bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
                  if len(body) < 1 << 16 else b"\xff" + struct.pack(">Q", len(body)))
        return bytes([opcode | (0x80 if is_last else 0)]) + length + bytes(4) + body

    def message(self, frame):
        self.number += 1
        return self.frame(self.BINARY, struct.pack(">I", 1 << 31 | self.number) + frame)

    def receive(self):
        length = self.receive_bytes(2)[1]
        if length > 125:
            length = int.from_bytes(self.receive_bytes(2 if length == 126 else 8), "big")
        return self.receive_bytes(length)[4:]

    def say_goodbye(self):
        """The frame that closes, as a browser sends it."""
        self.socket.sendall(self.frame(self.CLOSE, struct.pack(">H", 1000)))


class Witness:
    """A client that calls without a pause, from its own connection, and keeps it: the others who must be
    served throughout. check() ends it."""

    def __init__(self, address, frame=PING, timeout_s=WAIT_S_MAX):
        self.calls, self.slowest_s, self.error = 0, 0.0, None
        self._stop = threading.Event()
        self._peer = Peer(address, timeout_s=timeout_s)
        self._frame = frame
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        try:
            while not self._stop.wait(0.002):
                began = time.monotonic()
                self._peer.call(self._frame)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.calls += 1
        except OSError as error:
            self.error = error
        self._peer.close()

    def check(self, what, slowest_s_max=None):
        """At least one call more is answered, none failed, and none took longer."""
        calls, until = self.calls, time.monotonic() + WAIT_S_MAX
        while self.calls == calls and not self.error and time.monotonic() < until:
            time.sleep(0.01)
        self._stop.set()
        self._thread.join(WAIT_S_MAX)
        if self.error or self.calls == calls:
            raise AssertionError(f"{what}: another client was not served any more ({self.error or 'no answer'}) "
                                 f"after {self.calls} calls")
        if slowest_s_max is not None and self.slowest_s > slowest_s_max:
            raise AssertionError(f"{what}: a call of another client took {self.slowest_s:.2f} s")
        return f"{self.calls} calls of another client served, slowest {self.slowest_s * 1000:.0f} ms"
