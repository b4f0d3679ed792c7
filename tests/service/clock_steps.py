#!/usr/bin/env python3
"""A server whose time of day jumps by years while clients write and repeat (reliability I6, C1).

    clock_steps.py CHATSTORED PYTHON_PACKAGE_FOLDER

Every write that is repeated gets its first answer, silent peers are closed as ever, and the server stops.
77 = skipped (no libfaketime)."""

import glob
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
import unittest
import uuid
from datetime import datetime

CHATSTORED, PACKAGE = sys.argv[1:3] if len(sys.argv) > 2 else ("chatstored", ".")
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"), PACKAGE]
import chatstore  # noqa: E402
from served import WAIT_S_MAX, Server  # noqa: E402

FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
JUMPS = ("+1y", "-1y", "+0")
BURSTS = 4  # of writes after each jump; old ids are looked for at most every 100 ms


class ClockSteps(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-clock-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.url = f"ipc://{self.folder}/socket"
        self.written = []  # (request_id, message_id)
        with open(os.path.join(self.folder, "chatstore.toml"), "w", encoding="utf-8") as file:
            file.write(f'[database]\npath = "bot.db"\n[service]\nlisten = ["{self.url}", "ws://127.0.0.1:0/c"]\n'
                       "[service.limits]\nhandshake_ms = 500\n")
        self.jump("+0")

    def jump(self, to):
        with open(os.path.join(self.folder, "clock"), "w", encoding="utf-8") as file:
            file.write(to + "\n")

    def serve(self):
        environment = {**os.environ, "LD_PRELOAD": FAKETIME[0], "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                       "FAKETIME_TIMESTAMP_FILE": os.path.join(self.folder, "clock")}
        server = Server(CHATSTORED, self.folder, "--config", os.path.join(self.folder, "chatstore.toml"),
                        env=environment)
        self.addCleanup(server.kill)
        return server

    def save(self, client, request_id, message_id):
        client.call("SaveChatMessage", {"chat_id": -1, "user_id": 7, "message_id": message_id,
                                        "date": datetime(2026, 1, 2), "message_text": message_id},
                    request_id=request_id)

    def write_and_repeat(self):
        with chatstore.SyncClient(self.url, timeout=WAIT_S_MAX) as client:
            for _ in range(BURSTS):
                self.written.append((str(uuid.uuid4()), str(len(self.written))))
                self.save(client, *self.written[-1])
                time.sleep(0.11)
            for request_id, message_id in self.written:
                self.save(client, request_id, message_id)

    def expect_silent_peer_to_be_closed(self, server):
        with socket.create_connection(("127.0.0.1", server.port("ws")), WAIT_S_MAX) as peer:
            try:
                self.assertEqual(peer.recv(1), b"")
            except ConnectionError:
                pass

    def test_jumps(self):
        server = self.serve()
        said = set()
        for jump in JUMPS:
            self.write_and_repeat()
            self.jump(jump)
            self.write_and_repeat()
            self.expect_silent_peer_to_be_closed(server)
            said.add(server.log().splitlines()[-1][:4])
            server.close()
            server = self.serve()
            self.write_and_repeat()
        server.close()
        self.assertGreater(len(said), 1, "the clock did not jump: the log's years are those of one")
        file = sqlite3.connect(os.path.join(self.folder, "bot.db"))
        self.assertEqual(file.execute("SELECT count(*) FROM chat_messages").fetchone()[0], len(self.written))
        file.close()


if __name__ == "__main__":
    if not FAKETIME:
        print("SKIPPED: there is no libfaketime (package faketime)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
