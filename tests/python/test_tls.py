"""TLS, certificates and tokens, as "chatstore cert new" and "chatstore token new" make them, between
the clients and chatstored."""

import asyncio
import os
import ssl
import threading
import unittest
from unittest import mock

import support

import chatstore
from chatstore.wrapper import DatabaseWrapper

CONFIGURATION = """
[database]
path = "bot.db"

[service.tls]
certificate = "tls/server.pem"
key = "tls/server.key"
"""
CLIENT_CA = 'client-ca = "tls/ca.pem"\n'
TEXT = "x" * 1_500_000


def new_token(name, *options):
    """(token, lines for the configuration)"""
    lines = support.run_chatstore("token", "new", name, *options).splitlines()
    token = next(line for line in lines if line.startswith("cst_"))
    return token, "\n".join(line for line in lines if line != token)


class TlsCase(support.FolderCase):
    """A server that wants a token, and a certificate if client_ca."""

    client_ca = False

    def setUp(self):
        super().setUp()
        self.tls = support.make_certificates(self.folder)
        self.token, clients = new_token("bot", "--read", "*", "--write", "*")
        self.reader, more = new_token("reader", "--read", "*")
        with open(self.path("chatstore.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION + (CLIENT_CA if self.client_ca else "") + clients + "\n" + more)
        self.server = support.Server(self.folder, "--config", self.path("chatstore.toml"),
                                     listen="tls+tcp://127.0.0.1:0")
        self.addCleanup(self.server.stop)
        self.url = self.server.url

    def file(self, name):
        return os.path.join(self.tls, name)

    def context(self, with_certificate=None):
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        if self.client_ca if with_certificate is None else with_certificate:
            context.load_cert_chain(self.file("client.pem"), self.file("client.key"))
        return context

    def other_ca(self):
        return support.make_certificates(self.folder, "other") + "/ca.pem"

    def ping_async(self, **options):
        async def run():
            async with chatstore.Client(self.url, **options) as client:
                await client.set_setting(key="a", value=TEXT)
                return await asyncio.gather(*(client.get_setting(key="a") for _ in range(5)))
        self.assertEqual(asyncio.run(run()), [TEXT] * 5)

    def ping_sync(self, **options):
        with chatstore.SyncClient(self.url, **options) as client:
            client.set_setting(key="s", value=TEXT)
            self.assertEqual(client.get_setting(key="s"), TEXT)

    def check_refused(self, kind, text, **options):
        if kind is chatstore.Unavailable:
            options["timeout"] = 0.6  # it would be tried for as long as it may
        for ping in (self.ping_sync, self.ping_async):
            with self.subTest(ping.__name__), self.assertRaisesRegex(kind, text):
                ping(**options)


class Tokens(TlsCase):
    def test_calls(self):
        self.ping_sync(ssl=self.context(), token=self.token)
        self.ping_async(ssl=self.context(), token=self.token)
        self.url = self.url.replace("127.0.0.1", "localhost")
        self.ping_sync(ssl=self.context(), token=self.token)
        self.ping_async(ssl=self.context(), token=self.token)

    def test_tokens(self):
        context = self.context()
        for token in ("", "nonsense", self.token[:-1] + ("a" if self.token[-1] != "a" else "b")):
            self.check_refused(chatstore.Unauthenticated, "token", ssl=context, token=token)
        self.check_refused(chatstore.PermissionDenied, "write", ssl=context, token=self.reader)
        with mock.patch.dict(os.environ, {"CHATSTORE_TOKEN": self.token}):
            self.ping_sync(ssl=context)
            self.ping_async(ssl=context)

    def test_wrong_authority(self):
        """Refused, never called without a check; the text says why."""
        context = ssl.create_default_context(cafile=self.other_ca())
        self.check_refused(chatstore.Unavailable, "CERTIFICATE_VERIFY_FAILED", ssl=context,
                           token=self.token)
        self.check_refused(chatstore.Unavailable, "CERTIFICATE_VERIFY_FAILED", token=self.token)

    def test_not_tls(self):
        self.url = self.url.replace("tls+tcp", "tcp")
        self.check_refused(chatstore.Unavailable, "no connection", token=self.token)

    def test_restart(self):
        with chatstore.SyncClient(self.url, ssl=self.context(), token=self.token) as client:
            client.set_setting(key="k", value="v")
            self.server.kill()
            threading.Timer(0.3, self.server.start).start()
            client.set_setting(key="k", value="w")
            self.assertEqual(client.get_setting(key="k"), "w")


class Certificates(TlsCase):
    client_ca = True

    def test_calls(self):
        self.ping_sync(ssl=self.context(), token=self.token)
        self.ping_async(ssl=self.context(), token=self.token)

    def test_no_certificate(self):
        self.check_refused(chatstore.Unavailable, "no connection", ssl=self.context(False),
                           token=self.token)

    def test_wrapper(self):
        files = {"ca": self.file("ca.pem"), "cert": self.file("client.pem"),
                 "key": self.file("client.key")}
        with DatabaseWrapper(config={"url": self.url, "token": self.token, **files}) as db:
            self.assertTrue(db.setSetting("k", TEXT))
            self.assertEqual(db.getSetting("k"), TEXT)
        with DatabaseWrapper(config={"url": self.url, "token": self.token,
                                     "ssl": self.context()}) as db:
            self.assertEqual(db.getSetting("k"), TEXT)
        other_ca = self.other_ca()
        for wrong in ({"token": "cst_no", **files}, {"token": self.token, "ca": files["ca"]},
                      {"token": self.token, **files, "ca": other_ca}):
            with self.subTest(wrong=wrong), DatabaseWrapper(
                    config={"url": self.url, "timeout": 0.5, **wrong}) as db:
                with self.assertLogs("chatstore.wrapper", "ERROR"):
                    self.assertIs(db.setSetting("k", "v"), False)
                    self.assertEqual(db.getSetting("k", "default"), "default")
        for wrong in ({"cert": files["cert"]}, {"ca": self.path("none.pem")},
                      {**files, "key": files["ca"]}):
            with self.subTest(wrong=wrong), self.assertRaises(ValueError):
                DatabaseWrapper(config={"url": self.url, **wrong})


class WrapperByUrl(TlsCase):
    def test_calls(self):
        """With nothing but a URL: the rest is in the environment."""
        environment = {"CHATSTORE_TOKEN": self.token, "SSL_CERT_FILE": self.file("ca.pem")}
        with mock.patch.dict(os.environ, environment), DatabaseWrapper(self.url) as db:
            self.assertTrue(db.setSetting("k", "v"))
            self.assertEqual(db.getSetting("k"), "v")


if __name__ == "__main__":
    unittest.main()
