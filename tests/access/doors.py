#!/usr/bin/env python3
"""The server's doors: which addresses it refuses, whom TLS lets in, what a revoked token gets, and that a
token is nowhere to be found. doors.py CHATSTORED CHATSTORE; 77 = skipped (no openssl)."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from served import Peer, Server, field, frame_of, run  # noqa: E402
from writes import write_frame  # noqa: E402

CHATSTORED, CHATSTORE = sys.argv[1:3] if len(sys.argv) > 2 else ("chatstored", "chatstore")
PATIENCE_S = 60  # for what must come, however busy the machine is; nothing takes so long that goes well
NOBODY = 65534


class TokenPeer(Peer):
    """ask() is one Ping with the token."""

    def __init__(self, address, token=""):
        super().__init__(address, greet=False, timeout_s=PATIENCE_S)
        self.token, self.greeted = token, False

    def ask(self, token=None):
        """The answer's bytes; None if the connection is closed instead."""
        token = (self.token if token is None else token).encode()
        try:
            if not self.greeted:
                self.greet()
                self.greeted = True
            return self.call(frame_of("AdminService/Ping", token=token))
        except ConnectionError:
            return None


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="chatstore-doors-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.tls = os.path.join(cls.folder, "tls")
        run(CHATSTORE, "cert", "new", "--dir", cls.tls, "--host", "127.0.0.1", "--host", "db.example", check=True)
        cls.other = os.path.join(cls.folder, "other")
        run(CHATSTORE, "cert", "new", "--dir", cls.other, "--host", "127.0.0.1", check=True)
        cls.bot = cls.make_token("bot-a", "--read", "main", "--write", "main")
        cls.ops = cls.make_token("ops", "--admin", "--read", "*")

    @classmethod
    def make_token(cls, *arguments):
        made = run(CHATSTORE, "token", "new", *arguments, "-o", "json", check=True)
        return json.loads(made.stdout)

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.folder, *names)

    def write_config(self, clients, tls=None, listen=("tls+tcp://127.0.0.1:0",), more=""):
        files = {"certificate": self.path("tls", "server.pem"), "key": self.path("tls", "server.key"),
                 "client-ca": self.path("tls", "ca.pem"), **(tls or {})}
        listen = [f"ipc://{self.path('socket')}", *listen]
        with open(self.path("chatstore.toml"), "w") as file:
            file.write("[database.sources]\nmain = { path = \"main.db\" }\nold = { path = \"old.db\", "
                       "readonly = false }\n[database]\ndefault = \"main\"\n[service]\n"
                       f"listen = {json.dumps(listen)}\n[service.audit]\npath = \"audit.log\"\n[service.tls]\n")
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in files.items() if value)
            file.write(more + "".join(client["toml"] for client in clients))

    def serve(self, *arguments, **options):
        server = Server(CHATSTORED, self.folder, *(arguments or ("--config", self.path("chatstore.toml"))), **options)
        self.addCleanup(lambda: server.process.poll() is None and server.process.kill())
        return server

    def call(self, url, *arguments, token=None, files=None, wait_ms=PATIENCE_S * 1000):
        files = {"ca": self.path("tls", "ca.pem"), "cert": self.path("tls", "client.pem"),
                 "key": self.path("tls", "client.key"), **(files or {})}
        options = [word for name, file in files.items() if file for word in (f"--{name}", file)]
        return run(CHATSTORE, *(arguments or ("ping",)), "--url", url, *options, "--timeout-ms", wait_ms, "-o", "json",
                   token=token)

    def expect_no_way_in(self, *calls):
        """Calls that find no connection: (part of the text, url, what else call() takes). They wait for one as long as
        they may, so all at once; one that got no answer in that time, because the machine is busy, waits longer."""
        def try_it(part, url, options):
            for wait_ms in 1500, 10000, 30000:
                result = self.call(url, wait_ms=wait_ms, **options)
                if result.returncode != 69 or part in result.stderr:
                    break
            self.expect(result, 69, part)

        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            for future in [pool.submit(try_it, *call) for call in calls]:
                future.result()

    def ipc(self, *arguments, token=None):
        return self.call(f"ipc://{self.path('socket')}", *arguments, token=token)

    def expect(self, result, status, part=""):
        self.assertEqual(result.returncode, status, result)
        self.assertIn(part, result.stderr + result.stdout)

    # ---- Addresses ----

    def test_open_addresses_are_refused(self):
        database = self.path("alone.db")
        for url in "tcp://0.0.0.0:0", "tcp://[::]:0", "ws://10.1.2.3:0/", "tcp://*:0":
            result = run(CHATSTORED, "--db", database, "--listen", url)
            self.expect(result, 64, "insecure-listen")
        self.expect(run(CHATSTORED, "--db", database, "--listen", "tls+tcp://0.0.0.0:0"), 64, "certificate")
        server = self.serve("--db", database, "--insecure-listen", "--listen", "tcp://0.0.0.0:0")
        server.wait_for("is open: whoever is on the network")
        server.close()

    def test_a_configuration_with_an_open_address_is_refused(self):
        self.write_config([self.bot], listen=["tcp://0.0.0.0:0"])
        self.expect(run(CHATSTORED, "--config", self.path("chatstore.toml")), 78, "without TLS")
        self.write_config([], listen=["tls+tcp://0.0.0.0:0"])
        self.expect(run(CHATSTORED, "--config", self.path("chatstore.toml")), 78, "would let everybody in")
        self.write_config([self.bot], listen=["tls+tcp://0.0.0.0:0"])
        self.expect(run(CHATSTORED, "--check-config", self.path("chatstore.toml")), 0)

    def test_a_reload_leaves_no_address_open(self):
        self.write_config([self.ops], listen=[])
        config, url = self.path("chatstore.toml"), "tls+tcp://0.0.0.0:0"
        server = self.serve("--config", config, "--listen", url)
        self.write_config([], listen=[])
        refused = self.ipc("reload", token=self.ops["token"])
        self.expect(refused, 65, f"--listen {url}: it is reached by other machines and would let everybody in")
        with open(config, "w") as file:
            file.write("[database.sources]\nmain = { path = \"main.db\" }\nold = { path = \"old.db\" }\n"
                       f"[database]\ndefault = \"main\"\n[service]\nlisten = [\"ipc://{self.path('socket')}\"]\n"
                       + self.ops["toml"])
        self.expect(self.ipc("reload", token=self.ops["token"]), 65, "needs a certificate")
        self.expect(self.ipc(), 77, "UNAUTHENTICATED")
        self.expect(self.ipc(token=self.ops["token"]), 0)
        server.close()

    # ---- TLS ----

    def make_expired(self):
        """A certificate of the right CA and name whose time is over; None: this openssl cannot make it."""
        expired = self.path("expired")
        os.makedirs(expired, exist_ok=True)
        with open(os.path.join(expired, "names"), "w") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        openssl = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                   "/CN=old", "-keyout", f"{expired}/server.key", "-out", f"{expired}/request"]
        run(*openssl, check=True)
        signed = run("openssl", "x509", "-req", "-in", f"{expired}/request", "-CA", f"{self.tls}/ca.pem", "-CAkey",
                     f"{self.tls}/ca.key", "-CAcreateserial", "-days", "-1", "-extfile", f"{expired}/names", "-out",
                     f"{expired}/server.pem")
        return expired if signed.returncode == 0 else None

    def test_who_gets_in_over_tls(self):
        self.write_config([self.bot], listen=["tls+tcp://127.0.0.1:0", "wss://127.0.0.1:0/c", "tcp://127.0.0.1:0"])
        server = self.serve()
        token = self.bot["token"]
        plain, tls = server.port("tcp"), server.port("tls+tcp")
        refused = [("no connection", f"tcp://127.0.0.1:{tls}", {"token": token}),
                   ("no connection", f"tls+tcp://127.0.0.1:{plain}", {"token": token})]
        for url in f"tls+tcp://127.0.0.1:{server.port('tls+tcp')}", f"wss://127.0.0.1:{server.port('wss')}/c":
            self.expect(self.call(url, token=token), 0, "schemaVersion")
            self.expect(self.call(url), 77, "UNAUTHENTICATED")
            refused += [("signed by the CA", url, {"token": token, "files": files}) for files in (
                {"ca": self.path("other", "ca.pem")}, {"cert": None, "key": None},
                {"cert": self.path("other", "client.pem"), "key": self.path("other", "client.key")},
                {"server-name": "elsewhere.example"})]
            self.expect(self.call(url, token=token, files={"server-name": "db.example"}), 0)
            self.expect(self.call(url, token=token, files={"ca": self.path("none.pem")}), 64, "none.pem")
        self.expect_no_way_in(*refused)
        server.close()

    def test_a_certificate_is_for_names_and_addresses_only(self):
        for host in "", "two words", "tcp://bots.example", "bots.example:7447", "a,CN=b", "ünï":
            folder = self.path("nowhere")
            result = run(CHATSTORE, "cert", "new", "--dir", folder, "--host", "127.0.0.1", "--host", host)
            self.assertEqual((result.returncode, os.path.exists(folder)), (64, False), result)
            self.assertIn(f'"{host}"', result.stderr)

    def test_expired_certificate_is_refused(self):
        expired = self.make_expired()
        if not expired:
            self.skipTest("this openssl makes no certificate whose time is over")
        self.write_config([self.bot], tls={"certificate": f"{expired}/server.pem", "key": f"{expired}/server.key"})
        server = self.serve()
        server.wait_for("has expired")
        self.expect_no_way_in(("signed by the CA", f"tls+tcp://127.0.0.1:{server.port('tls+tcp')}",
                               {"token": self.bot["token"]}))
        server.close()

    def test_versions_of_tls(self):
        self.write_config([self.bot], tls={"client-ca": None})
        server = self.serve()
        for version, spoken in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = ssl.create_default_context(cafile=self.path("tls", "ca.pem"))
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", server.port("tls+tcp")), PATIENCE_S) as bare, \
                    context.wrap_socket(bare, server_hostname="db.example") as secure:
                self.assertEqual(secure.version(), spoken)
        old = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port('tls+tcp')}", "-tls1_1", "-cipher",
               "ALL:@SECLEVEL=0"]
        self.assertNotEqual(run(*old).returncode, 0)
        server.close()

    def expect_no_start(self, status, part, part_of_check=None):
        config = self.path("chatstore.toml")
        self.expect(run(CHATSTORED, "--check-config", config), 78, part_of_check or part)
        self.expect(run(CHATSTORED, "--config", config), status, part)

    def test_keys_that_do_not_fit_are_told(self):
        self.write_config([self.bot], tls={"key": self.path("other", "server.key")})
        self.expect_no_start(69, "is not the key of the certificate")
        self.write_config([self.bot], tls={"certificate": self.path("chatstore.toml")})
        self.expect_no_start(69, "[service.tls] certificate")

    def test_files_that_are_missing_are_told(self):
        for key in "certificate", "key", "client-ca":
            self.write_config([self.bot], tls={key: self.path("none.pem")})
            with open(self.path("chatstore.toml")) as file:
                line = [text.startswith(f"{key} = ") for text in file].index(True) + 1
            self.expect_no_start(69, f"[service.tls] {key}: ", f"chatstore.toml:{line}:{len(key) + 4}: unavailable: "
                                 f"service.tls.{key}: {self.path('none.pem')}: cannot be read: ")
        self.write_config([self.bot])
        with open(self.path("chatstore.toml")) as file:
            text = file.read()
        with open(self.path("chatstore.toml"), "w") as file:
            file.write(text.replace('"audit.log"', '"none/audit.log"'))
        self.expect_no_start(73, "the audit log", "audit.log: cannot be created in ")

    def test_new_certificates_come_with_a_reload(self):
        for name in "server.pem", "server.key", "ca.pem":
            shutil.copy(self.path("tls", name), self.path(name))
        files = {"certificate": "server.pem", "key": "server.key", "client-ca": None}
        self.write_config([self.bot, self.ops], tls=files)
        server = self.serve()
        url = f"tls+tcp://127.0.0.1:{server.port('tls+tcp')}"
        self.expect(self.call(url, token=self.bot["token"]), 0)
        shutil.copy(self.path("other", "server.pem"), self.path("server.pem"))
        result = self.ipc("reload", token=self.ops["token"])
        self.expect(result, 65, "is not the key of the certificate")
        self.expect(self.call(url, token=self.bot["token"]), 0)
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        open_before = TokenPeer(("127.0.0.1", server.port("tls+tcp")), self.bot["token"])
        self.addCleanup(lambda: open_before.close())
        open_before.socket = context.wrap_socket(open_before.socket, server_hostname="db.example")
        self.assertIsNotNone(open_before.ask())
        shutil.copy(self.path("other", "server.key"), self.path("server.key"))
        self.expect(self.ipc("reload", token=self.ops["token"]), 0)
        server.wait_for("with new certificates")
        self.expect_no_way_in(("signed by the CA", url, {"token": self.bot["token"]}))
        self.expect(self.call(url, token=self.bot["token"], files={"ca": self.path("other", "ca.pem")}), 0)
        self.assertIsNotNone(open_before.ask())
        server.close()

    def test_new_certificates_come_while_a_source_is_being_opened(self):
        self.write_config([self.bot, self.ops], tls={"client-ca": None})
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path("old.db"))
        lock = sqlite3.connect(self.path("old.db"), isolation_level=None)
        self.addCleanup(lock.close)
        lock.execute("BEGIN EXCLUSIVE")
        server = self.serve(until="listening on tls+tcp")
        url = f"tls+tcp://127.0.0.1:{server.port('tls+tcp')}"
        self.expect(self.call(url, token=self.bot["token"]), 0)
        if "ready: " in server.log():
            server.close()
            self.skipTest("a call took longer than the opening: this program is too slow (ThreadSanitizer)")
        self.write_config([self.bot, self.ops], tls={"certificate": self.path("other", "server.pem"),
                                                     "key": self.path("other", "server.key"), "client-ca": None})
        self.expect(self.ipc("reload", token=self.ops["token"]), 0)
        self.expect(self.call(url, token=self.bot["token"], files={"ca": self.path("other", "ca.pem")}), 0)
        lock.close()
        server.wait_for("ready: ")
        server.close()

    def shake_hands(self, port):
        """A connection that is past its handshake. The server may take a busy machine's for a silent one."""
        context = ssl.create_default_context(cafile=self.path("tls", "ca.pem"))
        context.load_cert_chain(self.path("tls", "client.pem"), self.path("tls", "client.key"))
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                bare = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
                return context.wrap_socket(bare, server_hostname="db.example")
            except OSError:
                if time.monotonic() > until:
                    raise

    def expect_end(self, peer):
        """The server closes the connection: whatever it still has sent comes first."""
        peer.settimeout(PATIENCE_S)
        try:
            while peer.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass

    def test_half_open_peers_are_dropped(self):
        self.write_config([self.bot], more="[service.limits]\nidle_ms = 2000\nhandshake_ms = 1500\n")
        server = self.serve()
        port = server.port("tls+tcp")
        before = server.file_count()
        peers = [self.shake_hands(port) for _ in range(10)]  # and then nothing
        peers += [socket.create_connection(("127.0.0.1", port), PATIENCE_S) for _ in range(30)]
        self.addCleanup(lambda: [peer.close() for peer in peers])
        for peer in peers[10::2]:
            peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # half a ClientHello
        self.expect(self.call(f"tls+tcp://127.0.0.1:{port}", token=self.bot["token"]), 0)
        for peer in peers:
            self.expect_end(peer)
        until = time.monotonic() + PATIENCE_S
        while server.file_count() > before + 2 and time.monotonic() < until:
            time.sleep(0.1)
        self.assertLessEqual(server.file_count(), before + 2)
        server.close()

    def test_clients_that_are_quiet_are_not_taken_for_half_open_ones(self):
        self.write_config([self.bot], listen=["tls+tcp://127.0.0.1:0", "wss://127.0.0.1:0/c", "tcp://127.0.0.1:0"],
                          tls={"client-ca": None}, more="[service.limits]\nhandshake_ms = 800\n")
        server = self.serve()
        environment = {**os.environ, "CHATSTORE_TOKEN": self.bot["token"]}

        def ping(client):
            client.stdin.write('{"method": "Ping"}\n')
            client.stdin.flush()
            self.assertIn("schemaVersion", client.stdout.readline())

        clients = []
        for scheme, path in (("tls+tcp", ""), ("wss", "/c"), ("tcp", "")):
            url = f"{scheme}://127.0.0.1:{server.port(scheme)}{path}"
            clients.append(subprocess.Popen(
                [CHATSTORE, "call", "--stdin", "--url", url, "--ca", self.path("tls", "ca.pem")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment))
            self.addCleanup(lambda client=clients[-1]: client.poll() is None and client.kill())
        for client in clients:
            ping(client)
        closed = server.log().count("did not end their handshake")  # on a busy machine one may have been
        time.sleep(2)  # time that passes is what is tested
        self.assertEqual(server.log().count("did not end their handshake"), closed)
        for client in clients:
            ping(client)
            client.stdin.close()
            client.wait(PATIENCE_S)
            client.stdout.close()
        server.close()

    # ---- Files and memory ----

    def test_files_that_others_may_change_are_told(self):
        self.write_config([self.bot])
        path = self.path("chatstore.toml")
        self.addCleanup(os.chmod, path, 0o644)
        for mode, told in (0o644, False), (0o664, True):
            os.chmod(path, mode)
            result = run(CHATSTORED, "--check-config", path)
            self.expect(result, 0)
            self.assertEqual("so let themselves in" in result.stderr, told, result)

    def test_memory_with_secrets_is_hidden(self):
        folder = tempfile.mkdtemp(prefix="chatstore-doors-")
        self.addCleanup(shutil.rmtree, folder)
        self.write_config([self.bot], listen=())
        for name in "chatstore.toml", "tls":
            copy = shutil.copytree if os.path.isdir(self.path(name)) else shutil.copy
            copy(self.path(name), os.path.join(folder, name))
        program, options = shutil.copy(CHATSTORED, folder), {}
        with open(os.path.join(folder, "chatstore.toml")) as file:
            text = file.read().replace(self.folder, folder)
        with open(os.path.join(folder, "chatstore.toml"), "w") as file:
            file.write(text)
        if os.getuid() == 0:  # else what is hidden from the others cannot be told from what is root's
            options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path, _, names in os.walk(folder):
                for name in (path, *(os.path.join(path, name) for name in names)):
                    os.chown(name, NOBODY, NOBODY)
        plain = "[database.sources]\nmain = { path = \"main.db\" }\n"
        with open(os.path.join(folder, "plain.toml"), "w") as file:
            file.write(plain + f"[service]\nlisten = [\"ipc://{folder}/socket\"]\n")
        for config, is_hidden in ("chatstore.toml", True), ("plain.toml", False):
            server = Server(program, folder, "--config", os.path.join(folder, config), **options)
            self.addCleanup(lambda server=server: server.process.poll() is None and server.process.kill())
            self.assertEqual(os.stat(f"/proc/{server.process.pid}/environ").st_uid == 0, is_hidden)
            server.close()

    # ---- Tokens ----

    def test_a_revoked_token_is_refused_after_the_reload(self):
        self.write_config([self.bot, self.ops])
        server = self.serve()
        self.expect(self.ipc(token=self.bot["token"]), 0)
        self.write_config([self.ops])
        self.expect(self.ipc("reload", token=self.ops["token"]), 0, "client removed")
        self.expect(self.ipc(token=self.bot["token"]), 77, "UNAUTHENTICATED")
        self.expect(self.ipc(token=self.ops["token"]), 0)
        server.close()

    def test_five_bad_tokens_close_the_connection(self):
        self.write_config([self.bot])
        server = self.serve()
        peer = TokenPeer(self.path("socket"), "no token")
        self.addCleanup(peer.close)
        answers = [peer.ask() for _ in range(6)]
        self.assertTrue(all(b"a token that" in answer for answer in answers[:5]), answers)
        self.assertIsNone(answers[5])
        self.expect(self.ipc(token=self.bot["token"]), 0)
        server.close()

    def test_an_address_that_tries_tokens_is_refused(self):
        self.expect_trier_to_be_refused("127.0.0.1", "127.0.0.1")

    def test_an_address_of_ipv6_that_tries_tokens_is_refused(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no ::1")
        self.expect_trier_to_be_refused("::1", "[::1]")

    def expect_trier_to_be_refused(self, host, host_in_url):
        self.write_config([self.bot], listen=[f"tcp://{host_in_url}:0"],
                          more="[service.limits]\nbad_tokens_per_minute_max = 7\n")
        server = self.serve()

        def connect():
            peer = TokenPeer((host, server.port("tcp", host_in_url)), self.bot["token"])
            self.addCleanup(peer.close)
            return peer

        for _ in range(20):  # none of the network's: not counted
            local = TokenPeer(self.path("socket"), "no token")
            self.assertIn(b"a token that", local.ask())
            local.close()
        early, also_early = connect(), connect()
        self.assertIn(b"\x0a", early.ask())
        for token in ("no token",) * 3:
            self.assertIn(b"a token that", connect().ask(token))
        trier = connect()
        for token in ("no token",) * 3:
            self.assertIn(b"a token that", trier.ask(token))
        self.assertIsNotNone(connect().ask())  # the sixth was not too many
        self.assertIn(b"a token that", also_early.ask("no token"))
        self.assertIsNone(connect().ask())
        self.assertIsNone(also_early.ask())
        server.wait_for(host_in_url)
        server.wait_for("too many tokens that nobody has came from this address")
        self.assertNotIn(b"a token that", early.ask())
        self.expect(self.ipc(token=self.bot["token"]), 0)
        server.close()

    def test_a_token_is_nowhere_to_be_found(self):
        self.write_config([self.bot, self.ops])
        server = self.serve()
        canary = self.bot["token"]
        said = []
        for arguments in (("ping",), ("sources",), ("reload",), ("call", "GetSettings", "data_source=old"),
                          ("call", "SetSetting", "key=k", "value=v"), ("call", "GetAllGroupChats")):
            for token in canary, canary[:-1] + ("A" if canary[-1] != "A" else "B"), self.ops["token"]:
                said.append(self.ipc(*arguments, token=token))
        reloads = server.log().count("reloaded: ")
        server.process.send_signal(signal.SIGUSR1)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("state: ")
        server.wait_for("reloaded: ", reloads + 1)
        for name in "cmdline", "environ":
            try:
                with open(f"/proc/{server.process.pid}/{name}") as file:
                    said.append(file.read())
            except PermissionError:
                pass  # hidden from all but root
        server.close()
        with open(self.path("audit.log")) as audit, open(self.path("chatstore.toml")) as config:
            said += [audit.read(), config.read()]
        said.append(server.log())
        for name in os.listdir(self.folder):
            if os.path.isfile(self.path(name)):
                with open(self.path(name), "rb") as file:
                    said.append(file.read().decode("latin-1"))
        for secret in canary, canary[4:], self.ops["token"]:
            for text in said:
                text = text if isinstance(text, str) else text.stdout + text.stderr
                self.assertNotIn(secret, text)

    def test_the_source_that_a_call_went_to_before_is_not_named(self):
        def write(key):
            return self.call(f"ipc://{self.path('socket')}", "call", "SetSetting", f"key={key}", "value=v",
                             "--request-id", "one", token=self.bot["token"], wait_ms=3000)

        self.write_config([self.bot, self.ops])
        with open(self.path("chatstore.toml")) as file:
            text = file.read()
        with open(self.path("chatstore.toml"), "w") as file:
            file.write(text.replace('default = "main"', 'default = "old"').replace('read = ["main"]', 'read = ["*"]')
                       .replace('write = ["main"]', 'write = ["*"]'))
        server = self.serve()
        self.expect(write("k"), 0)
        self.write_config([self.bot, self.ops])
        self.expect(self.ipc("reload", token=self.ops["token"]), 0)
        other = sqlite3.connect(self.path("old.db"), isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        locked = write("k")
        self.expect(locked, 69, "cannot be told now")
        other.execute("ROLLBACK")
        differs = write("another")
        self.expect(differs, 1, "ALREADY_EXISTS")
        for answer in locked, differs:
            self.assertNotRegex(answer.stdout + answer.stderr, r"\bold\b")
        server.close()

    def test_the_audit_log_says_who_was_refused_what(self):
        open(self.path("audit.log"), "w").close()
        self.write_config([self.bot, self.ops])
        server = self.serve()
        self.ipc("call", "SetSetting", "key=k", "value=secret text", "data_source=old", token=self.bot["token"])
        self.ipc("call", "GetChatInfo", "chat_id=-7", "data_source=old", token=self.bot["token"])
        self.ipc("ping")
        self.ipc("sources", token=self.ops["token"])
        self.ipc("ping", token=self.ops["token"])
        self.ipc("reload", token=self.ops["token"])
        server.close()
        lines = self.audit_lines()
        self.assertEqual([(line["client"], line["call"], line["source"], line["chat"], line["outcome"])
                          for line in lines],
                         [("bot-a", "SetSetting", "old", None, "PERMISSION_DENIED"),
                          ("bot-a", "GetChatInfo", "old", -7, "PERMISSION_DENIED"),
                          ("", "Ping", "", None, "UNAUTHENTICATED"), ("ops", "ListSources", "", None, "OK"),
                          ("ops", "Reload", "", None, "OK")])
        self.assertTrue(all(line["peer"].startswith(f"unix uid={os.getuid()}") for line in lines), lines)

    def audit_lines(self):
        with open(self.path("audit.log")) as file:
            return [json.loads(line) for line in file]

    def send(self, frame):
        peer = Peer(self.path("socket"))
        reply = peer.call(frame)
        peer.close()
        return reply

    def test_each_method_of_a_refused_frame_has_a_line(self):
        open(self.path("audit.log"), "w").close()
        self.write_config([self.bot, self.ops], more="[service.limits]\ncalls_in_flight_max = 8\n")
        server = self.serve()
        methods = ["AdminService/Ping", "AdminService/Reload", "SettingsService/SetSetting", "AdminService/Ping", "x"]
        calls = b"".join(frame_of(method) for method in methods)
        self.send(field(1, b"nobody's") + calls)
        refused = self.send(field(1, self.ops["token"].encode()) + calls * 100)
        self.assertIn(b"calls_in_flight_max", refused)
        server.close()
        self.assertEqual(sorted((line["outcome"], line["call"], line.get("calls", 1)) for line in self.audit_lines()),
                         [("INVALID_ARGUMENT", "Reload", 1), ("INVALID_ARGUMENT", "Reload", 1),  # it goes alone
                          ("RESOURCE_EXHAUSTED", "Reload", 98), ("UNAUTHENTICATED", "", 1),
                          ("UNAUTHENTICATED", "Ping", 2), ("UNAUTHENTICATED", "Reload", 1),
                          ("UNAUTHENTICATED", "SetSetting", 1)])

    def test_a_write_that_the_file_does_not_take_has_a_line(self):
        open(self.path("audit.log"), "w").close()
        self.write_config([self.bot])
        self.serve().close()
        database = sqlite3.connect(self.path("main.db"))
        database.execute("UPDATE settings SET value = '99' WHERE key = 'db-migration-version'")
        database.commit()
        server = self.serve()
        self.ipc("call", "SetSetting", "key=k", "value=v", token=self.bot["token"])
        server.close()
        database.execute("UPDATE settings SET value = '6' WHERE key = 'db-migration-version'")
        database.commit()
        database.close()
        self.assertEqual([(line["call"], line["source"], line["outcome"]) for line in self.audit_lines()],
                         [("SetSetting", "main", "FAILED_PRECONDITION")])

    def test_nothing_is_dropped_where_lines_are_required(self):
        open(self.path("audit.log"), "w").close()
        self.write_config([self.bot])
        with open(self.path("chatstore.toml")) as file:
            text = file.read()
        with open(self.path("chatstore.toml"), "w") as file:
            file.write(text.replace('path = "audit.log"', 'path = "audit.log"\nrequired = true'))
        server = self.serve()
        write = write_frame("k", source="old")
        peer, sent = Peer(self.path("socket")), 8 * 1024
        for _ in range(8):
            peer.send(field(1, self.bot["token"].encode()) + write * 1024)
        replies = b"".join(peer.receive() for _ in range(8))
        peer.close()
        server.close()
        refused = replies.count(b"may not write source old") + replies.count(b"has no source of the name")
        unjudged = replies.count(b"the audit log cannot be written")
        lines = self.audit_lines()
        self.assertEqual([line for line in lines if "dropped" in line], [])
        self.assertEqual((refused + unjudged, refused), (sent, len(lines)))


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("SKIPPED: there is no openssl")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
