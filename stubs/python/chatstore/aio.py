"""Client: calls for asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from chatstore import calls
from chatstore.attempts import PAGE_SIZE, Attempt, find_call
from chatstore.contract import Call, Outcome
from chatstore.errors import FailedPrecondition, ResourceExhausted, Unavailable
from chatstore.sp import HELLO, HELLO_OF_SERVER, REPLY_BYTES_MAX, Framing, Lost, TooLarge, check_hello
from chatstore.sync import Embedded, check_pid
from chatstore.urls import EMBEDDED, Endpoint, default_url, parse_url

T = TypeVar("T")
R = TypeVar("R")

CALLS_IN_FLIGHT_MAX = 1024
EMBEDDED_THREADS = 8
CONNECT_S_MAX = 5.0
SILENT_S_MAX = 5.0


class Client(calls.AsyncCalls):
    """Calls to a server, or to database files in this process, for asyncio.

        async with chatstore.Client("ipc:///run/chatstore/chatstore.sock") as client:
            user = await client.get_chat_user(chat_id=-1001, user_id=7)

    All calls share one connection, which is made when the first call needs it and again when it
    breaks. Not thread-safe: a client belongs to the event loop in which it is first used. After
    fork() a child must make a client of its own; calls on its parent's raise FailedPrecondition.

    Calls are repeated as chatstore.attempts.Attempt says, until their timeout. They raise the
    exceptions of chatstore.errors. A call that is cancelled may have been carried out.

    Args:
        url: "ipc:///path", "tcp://host:port", "tls+tcp://host:port"; with no server "embedded:bot.db"
            or "embedded:chatstore.toml". None: $CHATSTORE_URL, else the server's default socket.
        token: who this client is, where the server wants to know. None: $CHATSTORE_TOKEN, else none.
        timeout: seconds that a call may take which gives no timeout of its own.
        ssl: for tls+tcp; None: the system's certificates are trusted.
        calls_in_flight_max: more calls at a time fail with ResourceExhausted.
        reply_bytes_max: a longer reply fails with ResourceExhausted.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        ssl: tls.SSLContext | None = None,
        calls_in_flight_max: int = CALLS_IN_FLIGHT_MAX,
        reply_bytes_max: int = REPLY_BYTES_MAX,
    ) -> None:
        self.url = url if url is not None else default_url()
        self.timeout = timeout
        self._token = token if token is not None else os.environ.get("CHATSTORE_TOKEN", "")
        self._pid = os.getpid()
        self._in_flight = 0
        self._in_flight_max = calls_in_flight_max
        self._channel: Link | EmbeddedLink
        if self.url.startswith(EMBEDDED):
            self._channel = EmbeddedLink(self.url)
        else:
            self._channel = Link(parse_url(self.url), ssl, reply_bytes_max)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Calls under way fail, and so do those that follow."""
        if self._pid == os.getpid():
            await self._channel.close()

    async def call(
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
        return await self._complete(attempt, attempt.response, outcome)

    async def pages(
        self, method: Callable[..., Awaitable[list[R]]], *, page_size: int = PAGE_SIZE, **arguments: Any
    ) -> AsyncIterator[list[R]]:
        """The rows of a list, page by page: client.pages(client.get_chat_messages_since, chat_id=-100).

        What is promised when rows come or go meanwhile stands in docs/clients.md.
        """
        outcome = Outcome()
        more = True
        while more:
            yield await method(
                page_size=page_size, page_token=outcome.next_page_token, outcome=outcome, **arguments)
            more = outcome.next_page_token != ""

    async def _run(
        self,
        call: Call[T],
        values: Mapping[str, object],
        timeout: float | None,
        outcome: Outcome | None,
        request_id: str | None,
    ) -> T:
        attempt = self._attempt(call, values, timeout, request_id)
        return await self._complete(attempt, attempt.answer, outcome)

    def _attempt(
        self, call: Call[T], values: Mapping[str, object], timeout: float | None,
        request_id: str | None,
    ) -> Attempt[T]:
        check_pid(self._pid)
        if self._in_flight >= self._in_flight_max:
            raise ResourceExhausted(
                f"{call.name}: {self._in_flight} calls of this client are under way "
                "(calls_in_flight_max)", method=call.name)
        return Attempt(
            call, values, self.timeout if timeout is None else timeout, self._token, request_id)

    async def _complete(
        self,
        attempt: Attempt[T],
        read: Callable[[bytes, Outcome | None], R],
        outcome: Outcome | None,
    ) -> R:
        self._in_flight += 1
        try:
            while True:
                try:
                    return read(await self._channel.exchange(attempt), outcome)
                except (Lost, Unavailable) as error:
                    if isinstance(self._channel, EmbeddedLink):
                        raise
                    delay = attempt.failed(error)
                await asyncio.sleep(delay)
        finally:
            self._in_flight -= 1


class EmbeddedLink:
    """The engine in this process, whose waiting is done by threads."""

    def __init__(self, url: str) -> None:
        self._engine = Embedded(url)
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    async def exchange(self, attempt: Attempt[Any]) -> bytes:
        """The reply to the attempt's frame."""
        if self._closed:
            raise FailedPrecondition(f"{attempt.call.name}: the client is closed")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(EMBEDDED_THREADS, "chatstore")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._engine.exchange, attempt)

    async def close(self) -> None:
        """Wait for what runs and close the files."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._engine.close)
        if self._threads is not None:
            self._threads.shutdown(wait=False)


class Link:
    """The connection of a client, made anew when it is broken."""

    def __init__(
        self, endpoint: Endpoint, ssl: tls.SSLContext | None, reply_bytes_max: int
    ) -> None:
        self._endpoint = endpoint
        self._ssl = tls.create_default_context() if endpoint.tls and ssl is None else ssl
        self._framing = Framing(endpoint.path is not None, reply_bytes_max)
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._closed = False

    async def exchange(self, attempt: Attempt[Any]) -> bytes:
        """The reply to the attempt's frame; raises Lost if there is no server."""
        wire = await self._connected(attempt)
        try:
            return await wire.exchange(attempt)
        except TooLarge as error:
            raise ResourceExhausted(
                f"{attempt.call.name}: the reply has {error.args[1]} bytes; at most "
                f"{error.args[2]} are taken (reply_bytes_max)", method=attempt.call.name) from None

    async def close(self) -> None:
        """Close the connection; calls under way are Lost."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.close()
            await self._wire.gone.wait()

    async def _connected(self, attempt: Attempt[Any]) -> Wire:
        if self._closed:
            raise FailedPrecondition(f"{attempt.call.name}: the client is closed")
        if self._wire is not None and not self._wire.is_broken:
            return self._wire
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connect_ended)
        task = self._connecting
        done, _ = await asyncio.wait((task,), timeout=attempt.remaining())
        if not done:
            raise Lost(f"no connection to {self._endpoint.url} in time", False, late=True)
        if task.cancelled():
            raise FailedPrecondition(f"{attempt.call.name}: the client is closed")
        return task.result()

    def _connect_ended(self, task: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._wire = task.result()

    async def _connect(self) -> Wire:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        wire = Wire(self._framing, endpoint.url)
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                if endpoint.path is not None:
                    await loop.create_unix_connection(lambda: wire, endpoint.path)
                else:
                    await loop.create_connection(
                        lambda: wire, endpoint.host, endpoint.port,
                        ssl=self._ssl if endpoint.tls else None)
                await wire.greeted
        except (OSError, Lost) as error:
            wire.close()
            await wire.gone.wait()
            reason = str(error) or f"no answer within {CONNECT_S_MAX:g} s"
            raise Lost(f"no connection to {endpoint.url}: {reason}", False) from None
        except asyncio.CancelledError:
            wire.close()
            raise
        return wire


class Wire(asyncio.Protocol):
    """One connection: requests go out, replies find the calls that wait for them by their ids."""

    def __init__(self, framing: Framing, url: str) -> None:
        loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.gone = asyncio.Event()
        self.is_broken = False
        self._url = url
        self._framing = framing
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._number = 0
        self._silent_since: float | None = None  # the first request after the last thing heard
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._buffer = bytearray()

    async def exchange(self, attempt: Attempt[Any]) -> bytes:
        """Send the attempt's frame and wait for its reply."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        number = self._number = self._number + 1 & 0x7FFFFFFF
        try:
            async with asyncio.timeout(attempt.remaining()):
                await self._may_write.wait()
                if self.is_broken or self._transport is None:
                    raise Lost(f"the connection to {self._url} broke", False)
                self._waiting[number] = reply
                if self._silent_since is None:
                    self._silent_since = loop.time()
                self._transport.write(self._framing.pack(number, attempt.frame()))
                return await reply
        except TimeoutError:
            if self._silent_since is not None and loop.time() - self._silent_since >= SILENT_S_MAX:
                # TCP itself takes a quarter of an hour to notice that its address is gone.
                self._break(Lost(f"the connection to {self._url} was silent", True))
            raise attempt.too_late() from None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Close the connection."""
        self._break(Lost(f"the connection to {self._url} was closed", True))
        if self._transport is None:
            self.gone.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        plain: socket.socket | None = transport.get_extra_info("socket")
        if plain is not None and plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.is_broken:
            transport.abort()
        else:
            transport.write(HELLO)

    def data_received(self, data: bytes) -> None:
        self._silent_since = None
        self._buffer += data
        try:
            if not self.greeted.done() and not self._take_hello():
                return
            while self._take_reply():
                pass
        except Lost as error:
            self._break(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(Lost(
            f"the connection to {self._url} broke: {exc or 'the server closed it'}", True))
        self.gone.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _take_hello(self) -> bool:
        if len(self._buffer) < len(HELLO_OF_SERVER):
            return False
        check_hello(bytes(self._buffer[:len(HELLO_OF_SERVER)]))
        del self._buffer[:len(HELLO_OF_SERVER)]
        self.greeted.set_result(None)
        return True

    def _take_reply(self) -> bool:
        """Whether there was a whole reply in the buffer."""
        head = self._framing.header_bytes
        if len(self._buffer) < head:
            return False
        try:
            number, length = self._framing.read_header(self._buffer)
        except TooLarge as error:
            self._settle(error.args[0], error)
            raise Lost(f"the connection to {self._url} was closed: a reply is too long", True
                       ) from None
        if len(self._buffer) < head + length:
            return False
        reply = bytes(self._buffer[head:head + length])
        del self._buffer[:head + length]
        self._settle(number, reply)
        return True

    def _settle(self, number: int, result: bytes | Exception) -> None:
        reply = self._waiting.pop(number, None)
        if reply is None or reply.done():
            return
        if isinstance(result, Exception):
            reply.set_exception(result)
        else:
            reply.set_result(result)

    def _break(self, error: Lost) -> None:
        self.is_broken = True
        self._may_write.set()
        if not self.greeted.done():
            self.greeted.set_exception(error)
            self.greeted.exception()  # looked at: a caller may have gone
        for number in list(self._waiting):
            self._settle(number, error)
        if self._transport is not None:
            self._transport.abort()
