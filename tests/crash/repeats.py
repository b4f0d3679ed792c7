#!/usr/bin/env python3
"""Writes that are sent again after a reload has sent their chat, or all that is mapped nowhere, elsewhere: they are done
once. repeats.py CHATSTORED."""

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from served import Peer, Server  # noqa: E402
from writes import OK, result_of, status_of, write_frame  # noqa: E402

CHATSTORED = sys.argv[1] if len(sys.argv) > 1 else "chatstored"
ALREADY_EXISTS, FAILED_PRECONDITION, UNAVAILABLE = 6, 9, 14


class Repeats(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-repeats-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.configure("a")
        self.server = Server(CHATSTORED, self.folder, "--config", self.path("chatstore.toml"))
        self.addCleanup(self.server.kill)
        self.peer = Peer(self.path("socket"))
        self.addCleanup(self.peer.close)
        self.reloads = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def configure(self, default, sources="abc", readonly=""):
        with open(self.path("next.toml"), "w") as file:
            file.write(f"[database]\ndefault = \"{default}\"\n[database.sources]\n")
            file.writelines(f"{name} = {{ path = \"{name}.db\", readonly = {str(name in readonly).lower()} }}\n"
                            for name in sources)
            file.write("[service]\nlisten = [\"ipc://socket\"]\n")
        os.rename(self.path("next.toml"), self.path("chatstore.toml"))

    def reload(self, default, sources="abc", readonly=""):
        self.configure(default, sources, readonly)
        self.reloads += 1
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_for("reloaded", self.reloads)

    def count(self, key):
        counts = {}
        for name in "abc":
            database = sqlite3.connect(self.path(f"{name}.db"))
            counts[name] = database.execute("SELECT count(*) FROM settings WHERE key = ?", (key,)).fetchone()[0]
            database.close()
        return counts

    def test_a_repeat_goes_where_the_first_one_went(self):
        first = self.peer.call(write_frame("k", request_id="one"))
        self.assertEqual(status_of(first), OK)
        for default in "b", "c", "b":
            self.reload(default)
            self.assertEqual(self.peer.call(write_frame("k", request_id="one")), first)
        self.assertEqual(self.count("k"), {"a": 1, "b": 0, "c": 0})

    def test_what_was_written_before_the_source_was_readonly_is_not_refused(self):
        first = self.peer.call(write_frame("k", request_id="one"))
        self.reload("b", readonly="b")
        self.assertEqual(self.peer.call(write_frame("k", request_id="one")), first)
        for key in "k", "new":
            self.assertEqual(status_of(self.peer.call(write_frame(key, request_id=key))), FAILED_PRECONDITION)
        self.assertEqual(self.count("k"), {"a": 1, "b": 0, "c": 0})

    def test_the_id_of_another_request_stays_one(self):
        self.assertEqual(status_of(self.peer.call(write_frame("k", request_id="one"))), OK)
        self.reload("b")
        self.assertEqual(status_of(self.peer.call(write_frame("other", request_id="one"))), ALREADY_EXISTS)

    def test_what_is_new_goes_to_the_new_source_once(self):
        self.reload("b")
        for _ in range(3):
            reply = self.peer.call(write_frame("k", request_id="two"))
            self.assertEqual(result_of(reply)[4], b"b")
        self.assertEqual(self.count("k"), {"a": 0, "b": 1, "c": 0})

    def test_a_source_that_is_down_holds_up_nothing(self):
        self.reload("b")
        os.rename(self.path("a.db"), self.path("away.db"))
        self.server.wait_for("source a is down")
        self.assertEqual(result_of(self.peer.call(write_frame("k", request_id="three")))[4], b"b")
        os.rename(self.path("away.db"), self.path("a.db"))
        self.reload("b", "bc")
        self.assertEqual(result_of(self.peer.call(write_frame("k", request_id="four")))[4], b"b")

    def test_what_a_locked_source_may_have_done_is_not_done_again(self):
        first = self.peer.call(write_frame("k", request_id="one"))
        self.reload("b")
        other = sqlite3.connect(self.path("a.db"), isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        for request_id in "one", "two":
            since = time.monotonic()
            refused = self.peer.call(write_frame("k", request_id=request_id))
            self.assertEqual(status_of(refused), UNAVAILABLE, refused)
            self.assertIn(b"until a reload, a, cannot be told now", refused)
            self.assertLess(time.monotonic() - since, 10)  # its own time is 30 s
        self.assertEqual(result_of(self.peer.call(write_frame("k")))[4], b"b")
        other.execute("ROLLBACK")
        self.assertEqual(self.peer.call(write_frame("k", request_id="one")), first)
        self.assertEqual(result_of(self.peer.call(write_frame("new", request_id="two")))[4], b"b")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
