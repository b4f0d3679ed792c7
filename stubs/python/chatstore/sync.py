"""SyncClient: calls that block."""

from __future__ import annotations

import os
import socket
import ssl as tls
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from chatstore import calls, codec
from chatstore.attempts import PAGE_SIZE, Attempt, find_call
from chatstore.contract import Call, Outcome
from chatstore.errors import FailedPrecondition, Internal, ResourceExhausted, Unavailable
from chatstore.sp import HELLO, HELLO_OF_SERVER, REPLY_BYTES_MAX, Framing, Lost, TooLarge, check_hello
from chatstore.urls import EMBEDDED, Endpoint, default_url, parse_url

T = TypeVar("T")
R = TypeVar("R")

CONNECTIONS_MAX = 8



class SyncClient(calls.SyncCalls):
    """Calls to a server, or to database files in this process, that block.

    Any number of threads may use one client at once. It opens a connection when a call first needs
    one, and one more for each call that runs beside others, up to connections_max. After fork() a
    child must make a client of its own; calls on its parent's raise FailedPrecondition.

    Calls are repeated as chatstore.attempts.Attempt says, until their timeout. They raise the
    exceptions of chatstore.errors.

    Args:
        url: "ipc:///path", "tcp://host:port", "tls+tcp://host:port"; with no server "embedded:bot.db"
            or "embedded:chatstore.toml". None: $CHATSTORE_URL, else the server's default socket.
        token: who this client is, where the server wants to know. None: $CHATSTORE_TOKEN, else none.
        timeout: seconds that a call may take which gives no timeout of its own.
        ssl: for tls+tcp; None: the system's certificates are trusted.
        connections_max: connections open at a time; more calls wait for one.
        reply_bytes_max: a longer reply fails with ResourceExhausted.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        ssl: tls.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        reply_bytes_max: int = REPLY_BYTES_MAX,
    ) -> None:
        self.url = url if url is not None else default_url()
        self.timeout = timeout
        self._token = token if token is not None else os.environ.get("CHATSTORE_TOKEN", "")
        self._pid = os.getpid()
        self._channel: Embedded | Connections
        if self.url.startswith(EMBEDDED):
            self._channel = Embedded(self.url)
        else:
            self._channel = Connections(parse_url(self.url), ssl, connections_max, reply_bytes_max)

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A second time does no harm; calls that follow fail."""
        if self._pid == os.getpid():
            self._channel.close()

    def call(
        self,
        method: str,
        values: Mapping[str, object],
        *,
        timeout: float | None = None,
        outcome: Outcome | None = None,
        request_id: str | None = None,
    ) -> dict[str, Any]:
        """Any call by its name, as in "GetChatUser", with its fields; answers the whole response."""
        attempt = self._attempt(find_call(method), values, timeout, request_id)
        return self._complete(attempt, attempt.response, outcome)

    def pages(
        self, method: Callable[..., list[R]], *, page_size: int = PAGE_SIZE, **arguments: Any
    ) -> Iterator[list[R]]:
        """The rows of a list, page by page: client.pages(client.get_chat_messages_since, chat_id=-100).

        What is promised when rows come or go meanwhile stands in docs/clients.md.
        """
        outcome = Outcome()
        more = True
        while more:
            yield method(
                page_size=page_size, page_token=outcome.next_page_token, outcome=outcome, **arguments)
            more = outcome.next_page_token != ""

    def exchange(
        self,
        call: Call[Any],
        values: Mapping[str, object],
        *,
        timeout: float | None = None,
        outcome: Outcome | None = None,
        request_id: str | None = None,
    ) -> bytes:
        """A call of chatstore.calls; answers the encoded response."""
        attempt = self._attempt(call, values, timeout, request_id)
        return self._complete(attempt, attempt.payload, outcome)

    def _run(
        self,
        call: Call[T],
        values: Mapping[str, object],
        timeout: float | None,
        outcome: Outcome | None,
        request_id: str | None,
    ) -> T:
        attempt = self._attempt(call, values, timeout, request_id)
        return self._complete(attempt, attempt.answer, outcome)

    def _attempt(
        self, call: Call[T], values: Mapping[str, object], timeout: float | None,
        request_id: str | None,
    ) -> Attempt[T]:
        check_pid(self._pid)
        return Attempt(
            call, values, self.timeout if timeout is None else timeout, self._token, request_id)

    def _complete(
        self,
        attempt: Attempt[T],
        read: Callable[[bytes, Outcome | None], R],
        outcome: Outcome | None,
    ) -> R:
        while True:
            try:
                return read(self._channel.exchange(attempt), outcome)
            except (Lost, Unavailable) as error:
                if isinstance(self._channel, Embedded):
                    raise
                delay = attempt.failed(error)
            time.sleep(delay)


def check_pid(pid: int) -> None:
    """Refuse to use in a child process what its parent opened."""
    if pid != os.getpid():
        raise FailedPrecondition(
            "this client was made before fork(); a child process must make one of its own")


class Embedded:
    """The engine in this process."""

    def __init__(self, url: str) -> None:
        if codec.native is None:
            raise Internal(
                f"{url}: this installation has no chatstore._native, which holds the engine")
        self.engine = codec.native.Engine(url)

    def exchange(self, attempt: Attempt[Any]) -> bytes:
        """The reply to the attempt's frame."""
        try:
            reply: bytes = self.engine.exchange(attempt.frame())
        except RuntimeError as error:
            raise FailedPrecondition(f"{attempt.call.name}: {error}") from None
        return reply

    def close(self) -> None:
        """Wait for what runs and close the files."""
        self.engine.close()


class Connections:
    """The connections of a client: each is used by one call at a time, the last one first."""

    def __init__(
        self, endpoint: Endpoint, ssl: tls.SSLContext | None, count_max: int, reply_bytes_max: int
    ) -> None:
        self._endpoint = endpoint
        self._ssl = tls.create_default_context() if endpoint.tls and ssl is None else ssl
        self._count_max = count_max
        self._reply_bytes_max = reply_bytes_max
        self._changed = threading.Condition()
        self._idle: list[Connection] = []
        self._open = 0
        self._closed = False

    def exchange(self, attempt: Attempt[Any]) -> bytes:
        """The reply to the attempt's frame; raises Lost if there is no server."""
        connection = self._borrow(attempt)
        try:
            reply = connection.exchange(attempt)
        except BaseException:
            connection.close()
            self._give_back(None)
            raise
        self._give_back(connection)
        return reply

    def close(self) -> None:
        """Close what is idle now, and the others when their calls end."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._open -= len(idle)
            self._changed.notify_all()
        for connection in idle:
            connection.close()

    def _borrow(self, attempt: Attempt[Any]) -> Connection:
        connection = self._take_idle(attempt)
        if connection is not None:
            return connection
        try:
            return Connection(self._endpoint, self._ssl, attempt.deadline, self._reply_bytes_max)
        except BaseException:
            self._give_back(None)
            raise

    def _take_idle(self, attempt: Attempt[Any]) -> Connection | None:
        """An idle connection; None: a new one may be made."""
        with self._changed:
            while True:
                if self._closed:
                    raise FailedPrecondition(f"{attempt.call.name}: the client is closed")
                while self._idle:
                    connection = self._idle.pop()
                    if not connection.is_stale():
                        return connection
                    connection.close()
                    self._open -= 1
                if self._open < self._count_max:
                    self._open += 1
                    return None
                if not self._changed.wait(attempt.remaining()):
                    raise ResourceExhausted(
                        f"{attempt.call.name}: all {self._count_max} connections of this client "
                        "were in use (connections_max)", method=attempt.call.name)

    def _give_back(self, connection: Connection | None) -> None:
        with self._changed:
            if connection is not None and not self._closed:
                self._idle.append(connection)
            else:
                self._open -= 1
            self._changed.notify()
            closed = self._closed
        if connection is not None and closed:
            connection.close()


class Connection:
    """One connection, after its hello."""

    def __init__(
        self, endpoint: Endpoint, ssl: tls.SSLContext | None, deadline: float, reply_bytes_max: int
    ) -> None:
        self._url = endpoint.url
        self._deadline = deadline
        self._framing = Framing(endpoint.path is not None, reply_bytes_max)
        self._number = 0
        try:
            self._socket = self._connect(endpoint, ssl)
            try:
                self._socket.settimeout(self._remaining())
                self._socket.sendall(HELLO)
                check_hello(bytes(self._receive(len(HELLO_OF_SERVER))))
            except BaseException:
                self._socket.close()
                raise
        except TimeoutError:
            raise Lost(f"no connection to {self._url} in time", False, late=True) from None
        except OSError as error:
            raise Lost(f"no connection to {self._url}: {error}", False) from None
        except Lost as error:
            raise Lost(f"no connection to {self._url}: {error}", False) from None

    def exchange(self, attempt: Attempt[Any]) -> bytes:
        """Send the attempt's frame and wait for its reply. After an error: close."""
        self._deadline = attempt.deadline
        self._number = self._number + 1 & 0x7FFFFFFF
        try:
            self._socket.settimeout(self._remaining())
            self._socket.sendall(self._framing.pack(self._number, attempt.frame()))
            while True:
                number, length = self._framing.read_header(
                    self._receive(self._framing.header_bytes))
                body = self._receive(length)
                if number == self._number:
                    return bytes(body)
        except TimeoutError:
            raise attempt.too_late() from None
        except TooLarge as error:
            raise ResourceExhausted(
                f"{attempt.call.name}: the reply has {error.args[1]} bytes; at most "
                f"{error.args[2]} are taken (reply_bytes_max)", method=attempt.call.name) from None
        except (OSError, Lost) as error:
            raise Lost(f"the connection to {self._url} broke: {error}", True) from None

    def is_stale(self) -> bool:
        """Whether the server closed it, or sent what nobody asked for."""
        if isinstance(self._socket, tls.SSLSocket):
            return False
        try:
            self._socket.settimeout(0)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _remaining(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _connect(self, endpoint: Endpoint, ssl: tls.SSLContext | None) -> socket.socket:
        if endpoint.path is not None:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(self._remaining())
            try:
                plain.connect(endpoint.path)
            except BaseException:
                plain.close()
                raise
            return plain
        plain = socket.create_connection((endpoint.host, endpoint.port), self._remaining())
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if ssl is None or not endpoint.tls:
            return plain
        return ssl.wrap_socket(plain, server_hostname=endpoint.host)

    def _receive(self, count: int) -> bytearray:
        data = bytearray(count)
        with memoryview(data) as view:
            at = 0
            while at < count:
                if at > 0:
                    self._socket.settimeout(self._remaining())
                got = self._socket.recv_into(view[at:])
                if got == 0:
                    raise Lost("the server closed it", True)
                at += got
        return data
