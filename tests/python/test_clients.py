"""Client and SyncClient, with one test class for both: against servers that misbehave on purpose,
and against chatstored."""

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
import time
import unittest
import unittest.mock
from datetime import datetime, timezone

import support

import chatstore
from chatstore import calls, errors
from chatstore.retry import Reason, Retry

ARGUMENTS = {"chat_id": -1001, "user_id": 7}


class Blocking:
    """The asyncio client behind the interface of the one that blocks."""

    def __init__(self, *arguments, **keywords):
        self.loop = asyncio.new_event_loop()
        self.client = chatstore.Client(*arguments, **keywords)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *arguments, **keywords: self.loop.run_until_complete(
            method(*arguments, **keywords))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


class Case:
    """make: the client's class; the classes of tests that inherit choose it."""

    make = None

    def open(self, url, **options):
        return self.make(url, **options)

    @staticmethod
    def all_pages(client, name, **arguments):
        """The pages of the list of that name."""
        return list(client.pages(getattr(client, name), **arguments))


class FalseServerCases(Case):
    """What the transport does when the other side is slow, wrong, or goes away."""

    def serve(self, serve, **options):
        server = support.FalseServer(serve, self.path("false.sock"), **options)
        self.addCleanup(server.close)
        return server

    def answer_all(self, peer, _number):
        peer.greet()
        while True:
            number, _ = peer.read()
            peer.write(number, support.user_reply())

    def test_answer(self):
        server = self.serve(self.answer_all)
        outcome = chatstore.Outcome()
        with self.open(server.url) as client:
            for _ in range(3):
                user = client.get_chat_user(**ARGUMENTS, outcome=outcome)
        self.assertEqual(user["username"], "@u")
        self.assertEqual((outcome.source, outcome.attempts), ("default", 1))
        self.assertEqual(server.connections, 1)

    def test_envelope(self):
        seen = []

        def serve(peer, _number):
            peer.greet()
            while True:
                number, request = peer.read()
                seen.append(calls.ENVELOPE_REQUEST.decoder.decode(request))
                peer.write(number, support.reply())

        server = self.serve(serve)
        with self.open(server.url, token="secret", timeout=9) as client:
            client.get_chat_user(**ARGUMENTS)
            client.set_setting(key="k", value="v", timeout=2.5)
            client.set_setting(key="k", value="v", request_id="mine")
        read, write, named = (each["calls"][0] for each in seen)
        self.assertEqual({each["token"] for each in seen}, {"secret"})
        self.assertEqual(read["method"], "/chatstore.v1.UserService/GetChatUser")
        self.assertEqual(calls.GET_CHAT_USER.request.decoder.decode(read["payload"]),
                         {**ARGUMENTS, "data_source": ""})
        self.assertTrue(8000 < read["timeout_ms"] <= 9001, read["timeout_ms"])
        self.assertTrue(2000 < write["timeout_ms"] <= 2501, write["timeout_ms"])
        self.assertEqual(read["request_id"], "")
        self.assertEqual(len(write["request_id"]), 36)
        self.assertEqual(named["request_id"], "mine")

    def test_statuses(self):
        codes = sorted(errors.BY_CODE) + [99]
        waiting = list(codes)

        def serve(peer, _number):
            peer.greet()
            while True:
                number, _ = peer.read()
                peer.write(number, support.reply(code=waiting[0], message="why", source="s"))

        server = self.serve(serve)
        with self.open(server.url, timeout=20) as client:
            for code in codes:
                waiting[0] = code
                kind = errors.BY_CODE.get(code, chatstore.ChatstoreError)
                with self.subTest(code=code), self.assertRaisesRegex(kind, "why") as caught:
                    client.get_chat_user(**ARGUMENTS)
                self.assertEqual(caught.exception.code, code)
                self.assertEqual(caught.exception.method, "GetChatUser")
                self.assertEqual(caught.exception.source, "s")
        for kind, base in ((chatstore.InvalidArgument, ValueError), (chatstore.NotFound, LookupError),
                           (chatstore.DeadlineExceeded, TimeoutError),
                           (chatstore.Unavailable, ConnectionError)):
            self.assertTrue(issubclass(kind, base))

    def fail_calls(self, count, source):
        """A server that answers so many calls with UNAVAILABLE, and what it was asked."""
        tries = []

        def serve(peer, _number):
            peer.greet()
            while True:
                number, request = peer.read()
                tries.append(calls.ENVELOPE_REQUEST.decoder.decode(request)["calls"][0])
                peer.write(number, support.reply(code=14, message="down", source=source)
                           if len(tries) <= count else support.reply())

        return self.serve(serve), tries

    def test_unavailable_server_is_tried_again(self):
        """For as long as the call may take: it starts."""
        server, tries = self.fail_calls(7, "")
        outcome = chatstore.Outcome()
        with self.open(server.url) as client:
            client.set_setting(key="k", value="v", outcome=outcome)
        self.assertEqual((outcome.attempts, len(tries)), (8, 8))
        self.assertEqual(len({each["request_id"] for each in tries}), 1)

    def test_unavailable_source_is_tried_again(self):
        server, tries = self.fail_calls(2, "main")
        with self.open(server.url) as client:
            client.set_setting(key="k", value="v")
        self.assertEqual(len(tries), 3)

    def test_unavailable_source_is_given_up(self):
        """It may be down for hours."""
        server, tries = self.fail_calls(1000, "main")
        with self.open(server.url) as client:
            began = time.monotonic()
            with self.assertRaisesRegex(chatstore.Unavailable, "down"):
                client.set_setting(key="k", value="v")
        self.assertTrue(1.5 < time.monotonic() - began < 10, time.monotonic() - began)
        self.assertGreater(len(tries), 4)

    def test_what_breaks_connections_is_not_sent_for_ever(self):
        def serve(peer, _number):
            peer.greet()
            peer.read()

        server = self.serve(serve)
        with self.open(server.url) as client:
            with self.assertRaisesRegex(chatstore.Unavailable, "broke"):
                client.get_chat_user(**ARGUMENTS)
        self.assertEqual(server.connections, 10)

    def test_lost_connection_is_made_again(self):
        """The server dies with the call in its hands, three times."""
        ids = []

        def serve(peer, number):
            peer.greet()
            if number == 1:
                peer.write(peer.read()[0], support.reply())
            request, frame = peer.read()
            ids.append(calls.ENVELOPE_REQUEST.decoder.decode(frame)["calls"][0]["request_id"])
            if number > 3:
                peer.write(request, support.reply())

        server = self.serve(serve)
        with self.open(server.url) as client:
            client.ping()
            client.set_setting(key="k", value="v")
        self.assertEqual(server.connections, 4)
        self.assertEqual(len(ids), 4)
        self.assertEqual(len(set(ids)), 1)

    def test_deadline(self):
        def serve(peer, _number):
            peer.greet()
            while True:
                peer.read()

        server = self.serve(serve)
        with self.open(server.url) as client:
            began = time.monotonic()
            with self.assertRaisesRegex(chatstore.DeadlineExceeded, "not known"):
                client.set_setting(key="k", value="v", timeout=0.3)
            self.assertLess(time.monotonic() - began, 5)
            with self.assertRaises(chatstore.InvalidArgument):
                client.ping(timeout=0)

    def test_late_reply_is_not_taken_for_another(self):
        def serve(peer, _number):
            peer.greet()
            first, _ = peer.read()
            second, _ = peer.read()
            peer.write(first, support.user_reply("@first"))
            peer.write(second, support.user_reply("@second"))
            while True:
                peer.write(peer.read()[0], support.user_reply("@second"))

        server = self.serve(serve)
        with self.open(server.url) as client:
            with self.assertRaises(chatstore.DeadlineExceeded):
                client.get_chat_user(**ARGUMENTS, timeout=0.3)
            # The blocking client has a new connection now, whose first call is not answered.
            try:
                self.assertEqual(
                    client.get_chat_user(**ARGUMENTS, timeout=0.5)["username"], "@second")
            except chatstore.DeadlineExceeded:
                pass

    def test_no_server(self):
        with self.open(f"ipc://{self.path('none.sock')}") as client:
            with self.assertRaisesRegex(chatstore.Unavailable, "No such file"):
                client.get_chat_user(**ARGUMENTS, timeout=0.4)

    def test_server_comes_later(self):
        made = []

        def start():
            made.append(self.serve(self.answer_all))

        timer = threading.Timer(0.4, start)
        timer.start()
        with self.open(f"ipc://{self.path('false.sock')}") as client:
            self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")
        timer.join()

    def test_wrong_protocols(self):
        hellos = [(b"\0SP\0\0\x30\0\0", "protocol 0x30"), (b"HTTP/1.1", "nng's protocol"),
                  (b"\0SP\0", "closed")]
        for hello, text in hellos:
            with self.subTest(hello=hello):
                server = support.FalseServer(lambda peer, _n, hello=hello: (
                    peer.receive(8), peer.socket.sendall(hello)))
                with server, self.open(server.url) as client:
                    with self.assertRaisesRegex(chatstore.Unavailable, text):
                        client.ping(timeout=0.3)

    def test_bytes_that_are_no_reply(self):
        junk = [b"\x02" + bytes(20), b"\x01" + bytes(7) + b"\x02" + bytes(12),
                b"\x01" + bytes(7) + b"\x08" + bytes(12)]

        def serve(peer, number):
            peer.greet()
            request, _ = peer.read()
            if number <= len(junk):
                peer.socket.sendall(junk[number - 1])
                peer.receive(1)
            peer.write(request, support.user_reply())
            peer.receive(1)

        server = self.serve(serve)
        with self.open(server.url) as client:
            self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")
        self.assertEqual(server.connections, len(junk) + 1)

    def test_reply_that_cannot_be_read(self):
        def serve(peer, _number):
            peer.greet()
            for body in (b"\xff", b"", support.reply()[:-1] + b""):
                peer.write(peer.read()[0], body)
            peer.receive(1)

        server = self.serve(serve)
        with self.open(server.url) as client:
            with self.assertRaisesRegex(chatstore.Internal, "cannot be read"):
                client.ping()
            with self.assertRaisesRegex(chatstore.Internal, "0 results"):
                client.ping()

    def test_reply_limit(self):
        def serve(peer, _number):
            peer.greet()
            while True:
                peer.write(peer.read()[0], bytes(2000))

        server = self.serve(serve)
        with self.open(server.url, reply_bytes_max=1000) as client:
            for _ in range(2):
                with self.assertRaisesRegex(chatstore.ResourceExhausted, "reply_bytes_max"):
                    client.ping()

    def test_request_limit(self):
        with self.open(f"ipc://{self.path('none.sock')}") as client:
            with self.assertRaisesRegex(chatstore.ResourceExhausted, "4194304"):
                client.set_setting(key="k", value="x" * (5 << 20))

    def test_slow_pieces(self):
        """A reply that comes byte by byte."""
        def serve(peer, _number):
            for byte in b"\0SP\0\0\x31\0\0":
                peer.socket.sendall(bytes([byte]))
            peer.receive(8)
            number, _ = peer.read()
            body = support.user_reply()
            frame = b"\x01" + (len(body) + 4).to_bytes(8, "big") + number.to_bytes(4, "big") + body
            for byte in frame:
                peer.socket.sendall(bytes([byte]))
                time.sleep(0.001)
            peer.receive(1)

        server = self.serve(serve)
        with self.open(server.url) as client:
            self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")

    def test_tls(self):
        if not shutil.which("openssl"):
            self.skipTest("there is no openssl to make a certificate with")
        certificate, key = self.path("cert.pem"), self.path("key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with support.FalseServer(self.answer_all, context=context) as server:
            trusting = ssl.create_default_context(cafile=certificate)
            with self.open(server.url, ssl=trusting) as client:
                for _ in range(3):
                    self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")
            with self.open(server.url) as client:
                with self.assertRaisesRegex(chatstore.Unavailable, "(?i)certificate"):
                    client.ping(timeout=0.5)

    def test_after_fork(self):
        server = self.serve(self.answer_all)
        with self.open(server.url) as client:
            client.get_chat_user(**ARGUMENTS)
            child = os.fork()
            if child == 0:
                try:
                    client.get_chat_user(**ARGUMENTS)
                    os._exit(1)
                except chatstore.FailedPrecondition:
                    client.close()
                    os._exit(0)
                except BaseException:
                    os._exit(2)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")

    def test_closed(self):
        server = self.serve(self.answer_all)
        with self.open(server.url) as client:
            client.ping()
            client.close()
            client.close()
            with self.assertRaisesRegex(chatstore.FailedPrecondition, "closed"):
                client.ping()


class SyncAgainstFalseServer(FalseServerCases, support.FolderCase):
    make = chatstore.SyncClient

    def test_threads_share_connections(self):
        gate = threading.Barrier(3)

        def serve(peer, _number):
            peer.greet()
            request, _ = peer.read()
            gate.wait(20)
            peer.write(request, support.reply())
            while True:
                peer.write(peer.read()[0], support.reply())

        server = self.serve(serve)
        with self.open(server.url, connections_max=3) as client:
            threads = [threading.Thread(target=client.ping) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(server.connections, 3)

    def test_no_connection_free(self):
        hold = threading.Event()

        def serve(peer, _number):
            peer.greet()
            request, _ = peer.read()
            hold.wait(20)
            peer.write(request, support.reply())

        server = self.serve(serve)
        with self.open(server.url, connections_max=1) as client:
            thread = threading.Thread(target=client.ping)
            thread.start()
            time.sleep(0.2)
            with self.assertRaisesRegex(chatstore.ResourceExhausted, "connections_max"):
                client.ping(timeout=0.2)
            hold.set()
            thread.join()


class AsyncAgainstFalseServer(FalseServerCases, support.FolderCase):
    make = Blocking

    def test_silence(self):
        """A connection from which nothing comes any more is not used for ever."""
        def serve(peer, number):
            if number > 1:
                self.answer_all(peer, number)
            peer.greet()
            peer.write(peer.read()[0], support.user_reply())
            while True:
                peer.read()

        server = self.serve(serve)
        with self.open(server.url) as client:
            client.get_chat_user(**ARGUMENTS)
            for silent_s_max in 5.0, 0.1:  # at first it has not been silent for long enough
                with unittest.mock.patch("chatstore.aio.SILENT_S_MAX", silent_s_max), \
                        self.assertRaises(chatstore.DeadlineExceeded):
                    client.get_chat_user(**ARGUMENTS, timeout=0.2)
                self.assertEqual(server.connections, 1)
            self.assertEqual(client.get_chat_user(**ARGUMENTS)["username"], "@u")
        self.assertEqual(server.connections, 2)

    def test_no_hello(self):
        """Connecting ends, too, when nobody answers."""
        def serve(peer, number):
            if number > 1:
                self.answer_all(peer, number)
            peer.receive(9)

        server = self.serve(serve)
        with unittest.mock.patch("chatstore.aio.CONNECT_S_MAX", 0.2), self.open(server.url) as client:
            self.assertEqual(client.get_chat_user(**ARGUMENTS, timeout=20)["username"], "@u")
        self.assertEqual(server.connections, 2)

    def test_pipelining(self):
        """Many calls on one connection, answered in another order."""
        def serve(peer, _number):
            peer.greet()
            numbers = [peer.read() for _ in range(50)]
            for number, request in reversed(numbers):
                wanted = calls.ENVELOPE_REQUEST.decoder.decode(request)["calls"][0]["payload"]
                user = calls.GET_CHAT_USER.request.decoder.decode(wanted)["user_id"]
                peer.write(number, support.user_reply(f"@{user}"))
            peer.receive(1)

        server = self.serve(serve)

        async def run():
            async with chatstore.Client(server.url) as client:
                users = await asyncio.gather(*(
                    client.get_chat_user(chat_id=1, user_id=i) for i in range(50)))
            self.assertEqual([each["username"] for each in users], [f"@{i}" for i in range(50)])

        asyncio.run(run())
        self.assertEqual(server.connections, 1)

    def test_in_flight_limit_and_cancelling(self):
        def serve(peer, _number):
            peer.greet()
            for _ in range(2):
                held, _ = peer.read()
            peer.write(held, support.user_reply())
            peer.receive(1)

        server = self.serve(serve)

        async def run():
            async with chatstore.Client(server.url, calls_in_flight_max=1) as client:
                task = asyncio.create_task(client.get_chat_user(**ARGUMENTS))
                await asyncio.sleep(0.2)
                with self.assertRaisesRegex(chatstore.ResourceExhausted, "calls_in_flight_max"):
                    await client.ping()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual((await client.get_chat_user(**ARGUMENTS))["username"], "@u")

        asyncio.run(run())


class RealServerCases(Case):
    """Against chatstored on an empty file."""

    def setUp(self):
        super().setUp()
        self.server = support.Server(self.folder, "--db", self.path("bot.db"))
        self.addCleanup(self.server.stop)

    def test_over_tcp(self):
        server = support.Server(self.folder, "--db", self.path("tcp.db"), listen="tcp://127.0.0.1:0")
        self.addCleanup(server.stop)
        with self.open(server.url) as client:
            client.set_setting(key="k", value="v")
            self.assertEqual(client.get_setting(key="k"), "v")

    def test_large_frames(self):
        text = "x" * 3_000_000
        with self.open(self.server.url) as client:
            for i in range(3):
                client.set_setting(key=f"k{i}", value=text)
            settings = {each["key"]: each["value"] for each in client.get_settings()}
        self.assertEqual({settings[f"k{i}"] for i in range(3)}, {text})

    def test_restart(self):
        with self.open(self.server.url) as client:
            client.set_setting(key="k", value="v")
            self.server.stop()
            with self.assertRaises(chatstore.Unavailable):
                client.get_setting(key="k", timeout=0.3)
            threading.Timer(0.3, self.server.start).start()
            self.assertEqual(client.get_setting(key="k"), "v")
            self.server.kill()
            self.server.start()
            self.assertEqual(client.get_setting(key="k"), "v")

    def test_errors_of_the_server(self):
        with self.open(self.server.url) as client:
            with self.assertRaisesRegex(chatstore.InvalidArgument, "limit"):
                client.get_chat_users(chat_id=1, limit=-1)
            with self.assertRaisesRegex(chatstore.InvalidArgument, "chat_id"):
                client.get_chat_user(chat_id=0, user_id=1)
            client.add_delayed_task(task_id="t", function="f")
            with self.assertRaises(chatstore.AlreadyExists) as caught:
                client.add_delayed_task(task_id="t", function="f")
            self.assertEqual(caught.exception.source, "default")

    def test_readonly(self):
        support.Server(self.folder, "--db", self.path("ro.db"), listen=f"ipc://{self.folder}/x").stop()
        server = support.Server(self.folder, "--db", self.path("ro.db"), "--readonly",
                                listen=f"ipc://{self.folder}/y")
        self.addCleanup(server.stop)
        with self.open(server.url) as client:
            with self.assertRaisesRegex(chatstore.FailedPrecondition, "readonly"):
                client.set_setting(key="k", value="v")

    def test_any_call_by_name(self):
        with self.open(self.server.url) as client:
            answer = client.call("SetSetting", {"key": "k", "value": "v"}, request_id="one")
            self.assertEqual(answer, {"changed_rows": 1})
            with self.assertRaises(chatstore.InvalidArgument):
                client.call("Nothing", {})

    def test_pages(self):
        with self.open(self.server.url) as client:
            for i in range(5):
                client.set_chat_setting(chat_id=-1, key=f"k{i}", value="v")
            keys = [[row["key"] for row in page] for page in
                    self.all_pages(client, "get_chat_settings", chat_id=-1, page_size=2)]
            self.assertEqual(keys, [["k0", "k1"], ["k2", "k3"], ["k4"]])
            outcome = chatstore.Outcome()
            rows = client.get_chat_settings(chat_id=-1, page_size=4, outcome=outcome)
            self.assertNotEqual(outcome.next_page_token, "")
            rows += client.get_chat_settings(
                chat_id=-1, page_token=outcome.next_page_token, outcome=outcome)
            self.assertEqual((len(rows), outcome.next_page_token), (5, ""))

    def test_times_are_aware(self):
        with self.open(self.server.url) as client:
            client.update_chat_info(chat_id=-1, type="group")
            row = client.get_chat_info(chat_id=-1)
        self.assertEqual(row["created_at"].tzinfo, timezone.utc)
        self.assertLess(abs((datetime.now(timezone.utc) - row["created_at"]).total_seconds()), 60)


class SyncAgainstServer(RealServerCases, support.FolderCase):
    make = chatstore.SyncClient

    def test_restarts_under_load(self):
        """What was answered was done, once, though the server is killed and stopped meanwhile."""
        written, stop = [], threading.Event()

        def work(client):
            while not stop.is_set():
                client.update_token_stats(token="n", is_spam=True)
                written.append(1)

        with self.open(self.server.url) as client:
            threads = [threading.Thread(target=work, args=(client,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for end in (self.server.kill, self.server.stop):
                time.sleep(0.2)
                end()
                time.sleep(0.1)
                self.server.start()
            time.sleep(0.3)
            stop.set()
            for thread in threads:
                thread.join()
            stats, = client.get_token_stats(tokens=["n"])
        self.assertGreater(len(written), 8)
        self.assertEqual(stats["spam_count"], len(written))

    def test_threads(self):
        with self.open(self.server.url) as client:
            def work(number):
                for i in range(20):
                    client.set_setting(key=f"{number}-{i}", value="v")

            threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertGreaterEqual(len(client.get_settings()), 200)


class AsyncAgainstServer(RealServerCases, support.FolderCase):
    make = Blocking

    @staticmethod
    def all_pages(client, name, **arguments):
        async def collect():
            real = client.client
            return [page async for page in real.pages(getattr(real, name), **arguments)]

        return client.loop.run_until_complete(collect())

    def test_many_at_once(self):
        async def run():
            async with chatstore.Client(self.server.url) as client:
                await asyncio.gather(*(
                    client.set_setting(key=f"k{i}", value="x" * 10000) for i in range(300)))
                values = await asyncio.gather(*(
                    client.get_setting(key=f"k{i}") for i in range(300)))
                self.assertEqual({len(each) for each in values}, {10000})

        asyncio.run(run())


class EmbeddedCases(Case):
    def test_calls(self):
        with self.open(f"embedded:{self.path('bot.db')}") as client:
            client.set_setting(key="k", value="v")
            self.assertEqual(client.get_setting(key="k"), "v")
            with self.assertRaises(chatstore.InvalidArgument):
                client.get_chat_users(chat_id=1, limit=-1)
            client.close()
            with self.assertRaises(chatstore.FailedPrecondition):
                client.get_setting(key="k")


    def test_nothing_is_repeated(self):
        """A source that is down: there is no server that could come back."""
        with open(self.path("chatstore.toml"), "w", encoding="utf-8") as file:
            file.write('[database]\npath = "none/bot.db"\n')
        outcome = chatstore.Outcome()
        with self.open(f"embedded:{self.path('chatstore.toml')}") as client:
            began = time.monotonic()
            with self.assertRaises(chatstore.Unavailable):
                client.get_setting(key="k", outcome=outcome)
            self.assertLess(time.monotonic() - began, 1.5)


class SyncEmbedded(EmbeddedCases, support.FolderCase):
    make = chatstore.SyncClient


class AsyncEmbedded(EmbeddedCases, support.FolderCase):
    make = Blocking


class Retries(unittest.TestCase):
    """The rule of docs/clients.md, which the C client has too (stubs/c/retry.c)."""

    def test_delays(self):
        for reason in (Reason.UNREACHED, Reason.SERVER):
            retry = Retry()
            for count in range(20):
                whole = min(0.02 * 2 ** count, 1)
                delay = retry.delay(reason, 0, 100)
                self.assertTrue(whole * 0.75 <= delay <= whole * 1.25, (count, delay))
            self.assertEqual(retry.count, 20)

    def test_deadline(self):
        """The last try has time for its answer, and there is none without."""
        retry = Retry()
        for _ in range(10):
            retry.delay(Reason.SERVER, 0, 100)
        self.assertEqual(retry.delay(Reason.SERVER, 1, 1.5), 0.25)
        self.assertIsNone(retry.delay(Reason.SERVER, 1, 1.099))

    def test_lost(self):
        retry = Retry()
        delays = [retry.delay(Reason.LOST, 0, 100) for _ in range(10)]
        self.assertNotIn(None, delays[:9])
        self.assertIsNone(delays[9])

    def test_source(self):
        retry = Retry()
        self.assertIsNotNone(retry.delay(Reason.SOURCE, 10, 100))
        self.assertIsNotNone(retry.delay(Reason.SOURCE, 11.8, 100))
        self.assertIsNone(retry.delay(Reason.SOURCE, 11.95, 100))
        self.assertIsNotNone(retry.delay(Reason.SERVER, 12, 100))


class Urls(unittest.TestCase):
    def test_refused(self):
        for url in ("ws://h:1", "http://h", "tcp://h", "tcp://:5", "tcp://h:x", "ipc://", "bot.db",
                    "tcp://h:1/path"):
            for make in (chatstore.SyncClient, chatstore.Client):
                with self.subTest(url=url), self.assertRaises(chatstore.InvalidArgument):
                    make(url)

    def test_default(self):
        saved = {name: os.environ.pop(name, None) for name in ("CHATSTORE_URL", "XDG_RUNTIME_DIR")}
        try:
            self.assertEqual(chatstore.SyncClient().url, "ipc:///run/chatstore/chatstore.sock")
            os.environ["XDG_RUNTIME_DIR"] = "/run/user/1"
            self.assertEqual(chatstore.Client().url, "ipc:///run/user/1/chatstore.sock")
            os.environ["CHATSTORE_URL"] = "tcp://h:1"
            self.assertEqual(chatstore.Client().url, "tcp://h:1")
        finally:
            for name, value in saved.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


if __name__ == "__main__":
    unittest.main()
