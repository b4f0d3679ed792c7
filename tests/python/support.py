"""What the tests of the Python package share: where things are, servers real and false."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

SOURCE_DIR = os.environ.get("CHATSTORE_SOURCE_DIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY_DIR = os.environ.get("CHATSTORE_BINARY_DIR", os.path.join(SOURCE_DIR, "build", "plain"))
if "CHATSTORE_PYTHON_INSTALLED" not in os.environ:
    sys.path.insert(0, os.path.join(BINARY_DIR, "python"))

CHATSTORE = os.path.join(BINARY_DIR, "stubs", "cli", "chatstore")
CHATSTORED = os.path.join(BINARY_DIR, "service", "chatstored")
DATA_DIR = os.path.join(SOURCE_DIR, "..", "shared", "data")
HELLO = struct.Struct(">4sHH")
REQ, REP = 0x30, 0x31


def vectors(name):
    with open(os.path.join(SOURCE_DIR, "tests", "vectors", name + ".json"), encoding="utf-8") as file:
        return json.load(file)


class FolderCase(unittest.TestCase):
    """Tests with a folder of their own."""

    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-python-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)


class Server:
    """chatstored on one file or configuration, in a folder of the caller's."""

    def __init__(self, folder, *options, listen=None):
        self.url = listen or f"ipc://{folder}/server.sock"
        self._command = [CHATSTORED, *options, "--listen", self.url]
        self._log_path = os.path.join(folder, "server.log")
        self._process = None
        self.start()

    def start(self):
        with open(self._log_path, "ab") as log:
            offset = log.tell()
            self._process = subprocess.Popen(self._command, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            with open(self._log_path, "rb") as file:
                file.seek(offset)
                text = file.read().decode()
            if "listening on" in text:
                break
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"chatstored does not listen:\n{text}")
            time.sleep(0.02)
        if ":0" in self.url:
            line = next(each for each in text.splitlines() if "listening on" in each)
            self.url = line.split()[-1]
            self._command[-1] = self.url  # the same port after a restart

    def port(self):
        return urllib.parse.urlsplit(self.url).port

    def log(self):
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)


def run_chatstore(*arguments):
    """What the command chatstore prints."""
    return subprocess.run([CHATSTORE, *arguments], check=True, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL).stdout


def make_certificates(folder, name="tls"):
    """The folder of the certificates of "chatstore cert new", for localhost and 127.0.0.1."""
    folder = os.path.join(folder, name)
    run_chatstore("cert", "new", "--dir", folder, "--host", "localhost", "--host", "127.0.0.1")
    return folder


class FalseServer:
    """Speaks SP as a test wants: `serve(connection, number)` runs for each connection in a thread of
    its own. Its errors fail the test when it is closed."""

    def __init__(self, serve, path=None, context=None):
        family = socket.AF_UNIX if path else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.bind(path or ("127.0.0.1", 0))
        self._listener.listen(64)
        port = None if path else self._listener.getsockname()[1]
        scheme = "tls+tcp" if context else "tcp"
        self.url = f"ipc://{path}" if path else f"{scheme}://127.0.0.1:{port}"
        self.port = port
        self._serve = serve
        self._context = context
        self._ipc = path is not None
        self.connections = 0
        self.errors = []
        self._threads = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(10)
        if self.errors:
            raise self.errors[0]

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(plain, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, plain, number):
        try:
            if self._context:
                plain = self._context.wrap_socket(plain, server_side=True)
            with plain:
                self._serve(Peer(plain, self._ipc), number)
        except (ConnectionError, EOFError, OSError):
            pass  # the client went away
        except BaseException as error:  # pylint: disable=broad-except
            self.errors.append(error)


def receive_all(plain, count):
    data = b""
    while len(data) < count:
        more = plain.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Peer:
    """A client's connection, seen from the server."""

    def __init__(self, plain, ipc):
        self.socket = plain
        self._prefix = b"\x01" if ipc else b""

    def receive(self, count):
        return receive_all(self.socket, count)

    def greet(self):
        assert HELLO.unpack(self.receive(8)) == (b"\0SP\0", REQ, 0)
        self.socket.sendall(HELLO.pack(b"\0SP\0", REP, 0))

    def read(self):
        """(request id with its top bit, encoded Request)"""
        assert self.receive(len(self._prefix)) == self._prefix
        length, number = struct.unpack(">QI", self.receive(12))
        assert number & 0x80000000
        return number, self.receive(length - 4)

    def write(self, number, body):
        self.socket.sendall(self._prefix + struct.pack(">QI", len(body) + 4, number) + body)


def reply(response=b"", code=0, message="", source="default"):
    """An encoded Reply with one result."""
    from chatstore import calls
    status = {"code": code, "message": message} if code else None
    return calls.ENVELOPE_REPLY.encoder.encode({"results": [
        {"status": status, "payload": response, "source": source}]})


def user_reply(username="@u"):
    from chatstore import calls
    return reply(calls.GET_CHAT_USER.response.encoder.encode({"user": {"username": username}}))


def threads():
    """Names of the threads of this process, those of C too."""
    return os.listdir("/proc/self/task")
