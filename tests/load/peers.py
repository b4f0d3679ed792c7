#!/usr/bin/env python3
"""Bad peers (reliability F1 to F8): killed clients, connections that come and go, slow readers, trickled
bytes, half handshakes, no descriptors left. After each the server's descriptors and threads are back to
where they were, and another client was served throughout.

    peers.py CHATSTORED CHATSTORE CHATSTORE_BENCH [TEST...]

CHATSTORE_LOAD_SCALE (environment, 1) multiplies how many bad peers there are; with
CHATSTORE_LOAD_IGNORE_MEMORY set nothing is said of memory, which AddressSanitizer keeps. Prints a line of figures
for each test. Nothing here depends on how fast the machine is."""

import contextlib
import os
import random
import select
import shutil
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from served import (PING, WAIT_S_MAX, Peer, Server, WebSocketPeer, Witness, field, files_of, frame_of, run, settle,  # noqa: E402
                    usage_of, varint)
from writes import OK, RESOURCE_EXHAUSTED, status_of, write_frame  # noqa: E402

CHATSTORED, CHATSTORE, BENCH = sys.argv[1:4] if len(sys.argv) > 3 else ("chatstored", "chatstore", "chatstore-bench")
IGNORES_MEMORY = "CHATSTORE_LOAD_IGNORE_MEMORY" in os.environ
SCALE = float(os.environ.get("CHATSTORE_LOAD_SCALE", "1"))
FRAME_BYTES_MAX = 4 << 20
MEMORY_KIB_MAX = 64 << 10  # that bad peers may cost (F6)
LIST = frame_of("SettingsService/GetSettings")
LIMITS = "idle_ms = 2000\nhandshake_ms = 1000\nreply_send_ms = 500\n"


def scaled(count):
    return max(1, int(count * SCALE))


class Peers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-peers-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.limits = LIMITS
        self.ipc = os.path.join(self.folder, "socket")
        self.listen = [f"ipc://{self.ipc}", "tcp://127.0.0.1:0"]
        self.tls = ""

    def use_tls(self):
        tls = os.path.join(self.folder, "tls")
        run(CHATSTORE, "cert", "new", "--dir", tls, "--host", "127.0.0.1", check=True)
        self.listen.append("tls+tcp://127.0.0.1:0")
        self.tls = f'[service.tls]\ncertificate = "{tls}/server.pem"\nkey = "{tls}/server.key"\n'

    def serve(self, files_max=None):
        run(BENCH, "data", "--dir", self.folder, "--chats", "3", "--users", "5", "--messages", "2000", check=True)
        config = os.path.join(self.folder, "peers.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'[database]\npath = "source-0000.db"\nmax_connections = 2\n[service]\nlisten = {self.listen}\n'
                       f"[service.limits]\n{self.limits}{self.tls}".replace("'", '"'))
        server = Server(CHATSTORED, self.folder, "--config", config, files_max=files_max)
        self.addCleanup(server.kill)
        self.tcp = ("127.0.0.1", server.port("tcp"))
        self.warm_up(server)
        return server

    def serve_cold(self, files_max=None):
        """Over a file of its own, and nothing has been read yet."""
        server = Server(CHATSTORED, self.folder, "--db", "cold.db", "--listen", f"ipc://{self.ipc}", files_max=files_max)
        self.addCleanup(server.kill)
        return server

    def warm_up(self, server):
        """What the server opens once: connections to the file, threads."""
        for load in "mix", "scan":
            run(BENCH, load, "--url", f"ipc://{self.ipc}", "--chats", "3", "--users", "5", "--seconds", "0.3",
                "--warm-up", "0", check=True)
        files = usage_of(server.pid).files
        while True:  # until the connections of the warm-up are gone
            time.sleep(0.3)
            self.before = usage_of(server.pid)
            if self.before.files == files:
                break
            files = self.before.files

    def finish(self, server, witness, what, slowest_s_max=None):
        """All that every test checks in the end."""
        served = witness.check(what, slowest_s_max)
        after = settle(server.pid, self.before, what)
        new = Witness(self.tcp)
        new.check(f"{what}: a client that comes afterwards")
        server.close(is_busy=True)
        print(f"FIGURES {what}: descriptors {self.before.files} -> {after.files}, threads {self.before.threads} -> "
              f"{after.threads}, {self.before.rss_kib >> 10} -> {after.rss_kib >> 10} MiB; {served}", flush=True)

    def finish_large(self, server, before, most_kib, what, at_most_mib, kept_mib):
        """Memory has grown by no more than that, and is given back but for so much."""
        self.assertLess(most_kib, before.rss_kib + (at_most_mib << 10))
        after = settle(server.pid, before, what)
        self.assertLess(after.rss_kib, before.rss_kib + (kept_mib << 10))
        server.close()
        print(f"FIGURES {what}: {before.rss_kib >> 10} MiB -> at most {most_kib >> 10} MiB -> "
              f"{after.rss_kib >> 10} MiB", flush=True)

    # ---- F1: murder ----

    def test_killed_clients(self):
        self.use_tls()
        self.listen += ["ws://127.0.0.1:0/c", "wss://127.0.0.1:0/c"]
        server = self.serve()
        witness = Witness(self.ipc)
        kills = scaled(8)
        urls = {"ipc": f"ipc://{self.ipc}"}
        for scheme, path in ("tcp", ""), ("tls+tcp", ""), ("ws", "/c"), ("wss", "/c"):
            urls[scheme] = f"{scheme}://127.0.0.1:{server.port(scheme)}{path}"
        calls = os.path.join(self.folder, "calls")
        with open(calls, "w", encoding="utf-8") as file:
            file.write('{"method": "GetAllGroupChats"}\n' * 10000)
        for scheme, url in urls.items():
            for _ in range(kills):
                command = [BENCH, random.choice(("mix", "scan", "save")), "--url", url, "--chats", "3", "--users", "5",
                           "--in-flight", "8", "--no-join"]
                if scheme in ("tls+tcp", "wss"):  # whose options only the other one has
                    command = [CHATSTORE, "call", "--stdin", "--url", url, "--ca",
                               os.path.join(self.folder, "tls", "ca.pem")]
                with open(calls, encoding="utf-8") as file, \
                        subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL) as client:
                    time.sleep(random.uniform(0.03, 0.15))
                    client.kill()
            self.assertIsNone(server.process.poll(), scheme)
        self.finish(server, witness, f"{len(urls) * kills} clients killed in mid-call ({', '.join(urls)})")

    # ---- F2: deafness, churn ----

    def test_connections_that_come_and_go(self):
        server = self.serve()
        witness = Witness(self.ipc)
        count = scaled(200)
        for address in self.ipc, self.tcp:
            for number in range(count):
                kind = number % 6
                peer = Peer(address, greet=kind in (1, 2))
                if kind == 2:
                    peer.send(PING)
                elif kind == 3:
                    peer.socket.sendall(b"\0SP")
                elif kind == 4:
                    peer.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                if kind == 5 and not peer.is_ipc:
                    peer.reset()
                else:
                    peer.close()
        for _ in range(scaled(3)):
            second = run(CHATSTORED, "--db", os.path.join(self.folder, "other.db"), "--listen", f"ipc://{self.ipc}")
            self.assertEqual(second.returncode, 69, second)
        self.finish(server, witness, f"{2 * count} connections that came and went (ipc, tcp)")

    def test_web_sockets_that_come_and_go(self):
        """Three clients at a time: nng 1.10 freed what its threads still used when a connection ended, and
        the server died after 28 to 86,000 of them."""
        self.use_tls()
        self.listen += ["ws://127.0.0.1:0/c", "wss://127.0.0.1:0/c"]
        server = self.serve()
        witness = Witness(self.ipc)
        context = ssl.create_default_context(cafile=os.path.join(self.folder, "tls", "ca.pem"))
        failures = []

        def come_and_go(scheme, count):
            address, tls = ("127.0.0.1", server.port(scheme)), context if scheme == "wss" else None
            try:
                for number in range(count):
                    kind = number % 12  # most as browsers do: call, read the answer, say goodbye
                    peer = WebSocketPeer(address, "/c", tls)
                    if kind == 1:
                        peer.send(PING)
                    elif kind == 2:
                        peer.socket.sendall(peer.frame(peer.PING, b"x") + peer.message(PING)[:7])
                    elif kind == 3:
                        peer.socket.sendall(peer.frame(peer.TEXT, b"x"))
                    elif kind == 4:
                        peer.send(LIST)
                        peer.say_goodbye()
                    elif kind > 4:
                        peer.call(PING)
                        peer.say_goodbye()
                    if kind in (1, 5):
                        peer.reset()
                    else:
                        peer.close()
            except Exception as error:  # whatever it is, the main thread tells it
                failures.append(f"{scheme}: {error!r}")

        counts = {"ws": scaled(3000), "wss": scaled(300)}
        for scheme, count in counts.items():
            clients = [threading.Thread(target=come_and_go, args=(scheme, count)) for _ in range(3)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            self.assertEqual((server.process.poll(), failures), (None, []), f"{scheme}: {server.log()}")
        self.finish(server, witness, f"{3 * counts['ws']} WebSockets that came and went, {3 * counts['wss']} more with TLS")

    def test_pings_without_reading(self):
        """Over a WebSocket, and no token is needed for them. The newest is answered, as the protocol has it."""
        self.listen.append("ws://127.0.0.1:0/c")
        server = self.serve()
        witness = Witness(self.ipc)
        deaf = WebSocketPeer(("127.0.0.1", server.port("ws")), "/c")
        pings = deaf.frame(deaf.PING, b"p" * 100) * 500
        count = 0
        with contextlib.suppress(ConnectionError):  # idle_ms closes it: pings are no requests
            while count < scaled(500000):
                deaf.socket.sendall(pings)
                count += 500
        grown = usage_of(server.pid).rss_kib - self.before.rss_kib
        deaf.close()
        for number in range(scaled(50)):  # what waits when a connection closes goes too
            peer = WebSocketPeer(("127.0.0.1", server.port("ws")), "/c")
            peer.socket.sendall(peer.frame(peer.PING, b"p" * 100) * (50 + number))
            peer.say_goodbye()
            while peer.socket.recv(1 << 16):
                pass
            peer.close()
        peer = WebSocketPeer(("127.0.0.1", server.port("ws")), "/c")
        peer.socket.sendall(peer.frame(peer.PING, b"still"))
        self.assertEqual(peer.receive_bytes(7), b"\x8a\x05still")
        peer.close()
        if not IGNORES_MEMORY:
            self.assertLess(grown, 16 << 10)
        self.finish(server, witness, f"{count} pings of one that does not read (+{grown} KiB meanwhile)")

    def test_connections_while_the_server_stands_still(self):
        server = self.serve()
        witness = Witness(self.ipc)
        count = min(scaled(60), 100)  # the kernel's queue has 128
        os.kill(server.pid, 19)
        try:
            for number in range(count):
                peer = Peer(self.tcp, greet=False)
                peer.socket.sendall(b"\0SP\0\0\x30\0\0")
                peer.reset() if number % 2 else peer.close()
        finally:
            os.kill(server.pid, 18)
        self.finish(server, witness, f"{count} connections, closed or reset before they were accepted")

    # ---- F3: TLS ----

    def test_tls_that_breaks_off(self):
        self.use_tls()
        server = self.serve()
        witness = Witness(self.ipc)
        port = server.port("tls+tcp")
        context = ssl.create_default_context(cafile=os.path.join(self.folder, "tls", "ca.pem"))
        count = scaled(60)
        for number in range(count):
            bare = Peer(("127.0.0.1", port), greet=False)
            kind = number % 6
            if kind == 0:
                bare.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
                bare.close()
                continue
            if kind == 1:
                bare.socket.sendall(b"\0SP\0\0\x30\0\0")
                bare.reset()
                continue
            secure = context.wrap_socket(bare.socket, server_hostname="127.0.0.1")
            if kind == 2:
                secure.sendall(os.urandom(500))
            elif kind == 3:
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif kind == 4:
                with contextlib.suppress(OSError):
                    secure.unwrap()
            secure.close()  # without a word of TLS, but for kind 4
        self.finish(server, witness, f"{count} TLS handshakes broken off or misused")

    def test_all_connections_of_one_address(self):
        self.limits = "connections_per_address_max = 20\nconnections_max = 40\n"
        self.listen.append("tcp://[::1]:0")
        server = self.serve()
        said = "its address has as many as it may (connections_per_address_max)"
        kept = [Peer(self.tcp) for _ in range(20)]
        for peer in kept:  # the hello may be heard before the connection is counted
            peer.call(PING)
        for _ in range(40):
            with self.assertRaises(OSError):  # an end or a reset, at the hello or at the call
                self.call_once(self.tcp)
        server.wait_for(said)
        for other in self.ipc, ("::1", server.port("tcp", "[::1]")):
            self.assertEqual(status_of(self.call_once(other)), OK)
        for peer in kept:
            self.assertEqual(status_of(peer.call(PING)), OK)
            peer.close()
        settle(server.pid, self.before, said)
        for _ in range(40):  # what was closed is counted no longer
            self.assertEqual(status_of(self.call_once(self.tcp)), OK)
            settle(server.pid, self.before, said)
        server.close()

    @staticmethod
    def call_once(address):
        peer = Peer(address)
        with contextlib.closing(peer):
            return peer.call(PING)

    # ---- F5: slow readers ----

    def test_slow_readers(self):
        server = self.serve()
        witness = Witness(self.ipc)
        chat = (1 << 64) - 1001000000000  # number 0 of chatstore-bench's data
        large = frame_of("MessageService/GetChatMessagesSince", b"\x08" + varint(chat))
        peers = []
        # Of many more the answers are refused, in few bytes that need no reader (replies_bytes).
        for number in range(min(scaled(10), 20)):
            peer = Peer(self.tcp if number % 2 else self.ipc)
            peers.append(peer)
            with contextlib.suppress(OSError):  # closed already
                for _ in range(64):
                    peer.send(large)
        grown = usage_of(server.pid).rss_kib - self.before.rss_kib
        self.finish(server, witness, f"{len(peers)} peers with 64 calls each that read nothing "
                                     f"(+{grown >> 10} MiB meanwhile)")
        for peer in peers:  # only now: the server has closed its ends by itself
            peer.close()

    def never_read(self, address, rounds):
        """So many connections, one after the other, with more calls than the server keeps replies for."""
        for _ in range(rounds):
            peer = Peer(address)
            closed = select.poll()
            closed.register(peer.socket, select.POLLRDHUP)
            with contextlib.suppress(OSError):  # closed already
                peer.socket.sendall(b"".join(peer.message(LIST) for _ in range(3000)))
            closed.poll(1000)  # over TCP it may not learn of it, as that comes after what it does not read
            peer.close()

    def keep_out_nobody(self, peers_at_a_time):
        """At the limits that everybody has; nobody waits for as long as half of reply_send_ms."""
        self.limits = ""
        server = self.serve()
        bot = Peer(self.ipc)
        self.assertEqual(status_of(bot.call(write_frame("large", value="v" * 16000))), OK)
        bot.close()
        witness = Witness(self.ipc)
        for address in self.ipc, self.tcp:
            peers = [threading.Thread(target=self.never_read, args=(address, 3)) for _ in range(peers_at_a_time)]
            for peer in peers:
                peer.start()
            for peer in peers:
                peer.join()
        self.finish(server, witness, f"3000 calls at once whose replies nobody reads, {peers_at_a_time} at a time",
                    slowest_s_max=1)
        return server.log()

    def test_a_connection_that_is_never_read(self):
        self.assertIn("replies that it does not read (connection_replies_max)", self.keep_out_nobody(1))

    def test_connections_that_are_never_read(self):
        """None of them has as many as it may, but together they have all."""
        self.assertIn("does not read its replies while others wait", self.keep_out_nobody(4))

    def test_a_client_that_reads_late(self):
        """With as many calls under way as the stubs allow on one connection."""
        self.limits = "reply_send_ms = 60000\n"
        server = self.serve()
        late = Peer(self.ipc)
        self.assertEqual(status_of(late.call(write_frame("large", value="v" * 16000))), OK)
        late.socket.sendall(b"".join(late.message(LIST) for _ in range(1024)))
        time.sleep(1)
        for _ in range(1024):
            self.assertEqual(status_of(late.receive()), OK)
        late.close()
        server.close()

    # ---- As many calls as a configuration may allow ----

    def test_one_call_more_than_the_most(self):
        names = [f"source-{number}" for number in range(16)]  # for each of their locks 256 writes wait
        config = os.path.join(self.folder, "many.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'[service]\nlisten = ["ipc://{self.ipc}"]\n[service.limits]\ncalls_in_flight_max = 4096\n'
                       "reply_send_ms = 60000\n")
            file.writelines(f'[database.sources.{name}]\npath = "{name}.db"\n' for name in names)
            file.write('[database]\ndefault = "source-0"\n')
        server = Server(CHATSTORED, self.folder, "--config", config)
        self.addCleanup(server.kill)
        bots, other = [Peer(self.ipc) for _ in range(4)], Peer(self.ipc)
        with contextlib.ExitStack() as holders:
            for name in names:
                holder = sqlite3.connect(os.path.join(self.folder, f"{name}.db"), isolation_level=None)
                holders.callback(holder.close)
                holder.execute("BEGIN IMMEDIATE")
            for bot in bots:
                bot.socket.sendall(b"".join(bot.message(write_frame("key", name)) for name in names * 64))
            statuses = [OK]
            while statuses[-1] == OK:  # until all have come
                statuses.append(status_of(other.call(PING)))
            self.assertEqual(statuses[-1], RESOURCE_EXHAUSTED)
        for bot in bots:
            for _ in range(1024):
                self.assertEqual(status_of(bot.receive()), OK)
            bot.close()
        other.close()
        server.close()

    # ---- F6: slowloris ----

    def test_trickled_bytes(self):
        server = self.serve()
        witness = Witness(self.ipc)
        count = scaled(60)
        peers = []
        for number in range(count):
            kind = number % 4
            peer = Peer(self.tcp, greet=kind != 0)
            peers.append(peer)
            peer.rest = b""
            if kind == 1:  # a byte now and then
                peer.rest = peer.message(frame_of("AdminService/Ping", field(1, b"x" * 500)))
            elif kind == 2:  # half a frame
                peer.socket.sendall(peer.message(PING)[:20])
            elif kind == 3:  # the head of the largest frame
                peer.socket.sendall((FRAME_BYTES_MAX - 1).to_bytes(8, "big"))
        open_now = usage_of(server.pid)
        until = time.monotonic() + 30
        while usage_of(server.pid).files > self.before.files + 1 and time.monotonic() < until:
            for peer in peers:
                try:
                    peer.socket.sendall(peer.rest[:1])
                    peer.rest = peer.rest[1:]
                except OSError:
                    peer.rest = b""
            time.sleep(0.1)
        if not IGNORES_MEMORY:
            self.assertLessEqual(open_now.rss_kib, self.before.rss_kib + MEMORY_KIB_MAX)
        self.finish(server, witness, f"{count} connections that were silent, trickled or stood still in a frame "
                                     f"({open_now.files} descriptors meanwhile)")
        for peer in peers:
            peer.close()

    def test_frames_that_never_end(self):
        """They are closed long before idle_ms, on all transports; whose frames end is not, however idle."""
        self.use_tls()
        self.listen.append("ws://127.0.0.1:0/c")
        self.limits = "frame_ms = 1000\n"
        server = self.serve()
        context = ssl.create_default_context(cafile=os.path.join(self.folder, "tls", "ca.pem"))

        def connect_tls():
            peer = Peer(("127.0.0.1", server.port("tls+tcp")), greet=False)
            peer.socket = context.wrap_socket(peer.socket, server_hostname="127.0.0.1")
            peer.greet()
            return peer

        connects = {"tcp": lambda: Peer(self.tcp), "tls+tcp": connect_tls,
                    "ws": lambda: WebSocketPeer(("127.0.0.1", server.port("ws")), "/c")}
        large = frame_of("AdminService/Ping", field(1, b"x" * (FRAME_BYTES_MAX - 1000)))
        idle, stuck = [], []
        for scheme, connect in connects.items():
            for kind in range(4):
                peer = connect()
                idle.append(peer)
                for _ in range(kind):
                    peer.call(large if kind == 3 else PING)
            for kind in range(scaled(4)):
                peer = connect()
                stuck.append((scheme, peer))
                message = peer.message(large)
                peer.socket.sendall((peer.message(PING) if kind % 2 else b"") + message[:1 << 20])
                peer.rest = message[1 << 20:] if kind % 4 > 1 else b""
        until = time.monotonic() + WAIT_S_MAX
        while self.open_among(stuck):
            self.assertLess(time.monotonic(), until, self.open_among(stuck))
            time.sleep(0.1)
        for peer in idle:
            peer.call(large)
            peer.close()
        for _, peer in stuck:
            peer.close()
        after = settle(server.pid, self.before, "frames that never end")
        server.close()
        print(f"FIGURES {len(stuck)} frames that never ended: descriptors {self.before.files} -> {after.files}, "
              f"{self.before.rss_kib >> 10} -> {after.rss_kib >> 10} MiB", flush=True)

    @staticmethod
    def open_among(peers):
        """The schemes of those that the server has not closed; each sends some bytes of what it has left."""
        still = []
        for scheme, peer in peers:
            try:
                peer.socket.sendall(peer.rest[:7])
                peer.rest = peer.rest[7:]
                poll = select.poll()
                poll.register(peer.socket, select.POLLRDHUP)
                if not poll.poll(0):
                    still.append(scheme)
            except OSError:
                pass
        return still

    # ---- More answers than memory ----

    @unittest.skipIf(IGNORES_MEMORY, "only memory is looked at")
    def test_a_frame_of_large_answers(self):
        """Of 300 answers of 6 MB that are asked for in one frame two fit; the others are not kept meanwhile."""
        server = self.serve_cold()
        bot = Peer(self.ipc)
        for number in range(100):
            self.assertEqual(status_of(bot.call(write_frame(f"key-{number}", value="v" * 60000))), OK)
        before = usage_of(server.pid)
        most = 0
        bot.send(LIST * 300)
        while not select.select([bot.socket], [], [], 0.01)[0]:
            most = max(most, usage_of(server.pid).rss_kib)
        self.assertGreater(len(bot.receive()), 2 * 6000000)
        bot.close()
        self.finish_large(server, before, most, "300 answers of 6 MB in one frame", at_most_mib=150, kept_mib=32)

    # ---- More requests than memory ----

    @unittest.skipIf(IGNORES_MEMORY, "only memory is looked at")
    def test_large_requests_that_wait(self):
        """Writes of 3.9 MB wait for a lock. What has no room (requests_bytes) is refused, others are served, and then
        all is given back."""
        server = self.serve_cold()
        bot, count = Peer(self.ipc), 100
        self.assertEqual(status_of(bot.call(write_frame("key"))), OK)
        before = usage_of(server.pid)
        witness = Witness(self.ipc)
        lock = sqlite3.connect(os.path.join(self.folder, "cold.db"), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        large = write_frame("key", value="v" * 3900000)
        most = 0
        for _ in range(count):
            bot.send(large)
            most = max(most, usage_of(server.pid).rss_kib)
        refused = [bot.receive() for _ in range(count // 2)]  # the first replies there are
        most = max(most, usage_of(server.pid).rss_kib)
        lock.execute("ROLLBACK")
        lock.close()
        self.assertEqual([reply for reply in refused if b"requests_bytes" not in reply], [])
        statuses = [status_of(bot.receive()) for _ in range(count // 2)]
        self.assertGreaterEqual(statuses.count(OK), (256 << 20) // (2 * 3900000 + 1000))
        self.assertEqual(status_of(bot.call(large)), OK)
        bot.close()
        served = witness.check("large requests")
        refused_count = count - statuses.count(OK)
        self.finish_large(server, before, most, f"{count} writes of 3.9 MB that wait, {refused_count} refused; {served}",
                          at_most_mib=350, kept_mib=64)

    # ---- F8: no descriptors ----

    def test_no_descriptors_left(self):
        server = self.serve(files_max=128)
        witness = Witness(self.ipc)
        peers = []
        for number in range(300):
            try:
                peers.append(Peer(self.tcp if number % 2 else self.ipc, greet=False, timeout_s=0.2))
            except OSError:
                pass  # the kernel's queue is full
        self.assertGreater(len(peers), 128)
        self.assertGreaterEqual(usage_of(server.pid).files, 120)
        time.sleep(0.5)
        for peer in peers:
            peer.close()
        self.finish(server, witness, f"{len(peers)} connections to a server with 128 descriptors")

    def test_no_descriptors_left_for_a_source(self):
        """Strangers take all that are left. A bot that was there reads and writes, though it did neither before."""
        server = self.serve_cold(files_max=64)
        bot = Peer(self.ipc)
        peers = []
        for number in range(100):
            with contextlib.suppress(OSError):
                peers.append(Peer(self.ipc, greet=False, timeout_s=0.2))
        until = time.monotonic() + WAIT_S_MAX
        while usage_of(server.pid).files < 55:
            self.assertLess(time.monotonic(), until, files_of(server.pid))
            time.sleep(0.01)
        for number in range(50):
            self.assertEqual(status_of(bot.call(write_frame(f"key-{number}"))), OK)
            for _ in range(8):
                bot.send(LIST)
            for _ in range(8):
                self.assertEqual(status_of(bot.receive()), OK)
        for peer in [bot, *peers]:
            peer.close()
        self.assertNotIn("is down", server.log())
        server.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
