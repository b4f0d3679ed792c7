#!/usr/bin/env python3
"""Files that others remove, cut or overwrite while the server writes them: it lives, the other sources do not notice, and
what is acknowledged is there after a kill. files.py CHATSTORED; 77 = skipped."""

import contextlib
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from served import WAIT_S_MAX, Peer, Server  # noqa: E402
from writes import OK, status_of, write_frame  # noqa: E402

CHATSTORED = sys.argv[1] if len(sys.argv) > 1 else "chatstored"
UNAVAILABLE = 14
KEEPS_INDEX = "CHATSTORE_FILES_KEEP_INDEX" in os.environ


class Writer:
    """Writes to one source without pause, each write once, until end()."""

    def __init__(self, address, source):
        self.acked, self.refused, self.last_ok_s = [], [], 0.0
        self._address, self._source, self._stop = address, source, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        peer = Peer(self._address)
        number = 0
        while not self._stop.is_set():
            number += 1
            key = f"{self._source}-{number}"
            status = status_of(peer.call(write_frame(key, self._source, request_id=key)))
            if status == OK:
                self.acked.append(key)
                self.last_ok_s = time.monotonic()
            else:
                self.refused.append(status)
                time.sleep(0.005)
        peer.close()

    def end(self):
        self._stop.set()
        self._thread.join(WAIT_S_MAX)


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-files-")
        self.addCleanup(shutil.rmtree, self.folder)
        with open(self.path("chatstore.toml"), "w") as file:
            file.write("[database]\ndefault = \"a\"\n[database.sources]\na = { path = \"a.db\" }\n"
                       "b = { path = \"b.db\" }\n[service]\nlisten = [\"ipc://socket\"]\n")
        self.server = Server(CHATSTORED, self.folder, "--config", self.path("chatstore.toml"))
        self.addCleanup(self.server.kill)
        self.a = Writer(self.path("socket"), "a")
        self.b = Writer(self.path("socket"), "b")
        self.addCleanup(self.b.end)
        self.addCleanup(self.a.end)
        self.wait(lambda: len(self.a.acked) > 100 and len(self.b.acked) > 100)

    def path(self, name):
        return os.path.join(self.folder, name)

    def wait(self, is_so):
        until = time.monotonic() + WAIT_S_MAX
        while not is_so():
            self.assertIsNone(self.server.process.poll(), self.server.log())
            self.assertLess(time.monotonic(), until, self.server.log())
            time.sleep(0.01)

    def wait_served_again(self):
        since = time.monotonic()
        self.wait(lambda: self.a.last_ok_s > since + 0.5)

    def stored(self, name):
        with sqlite3.connect(self.path(name)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            keys = [key for key, in database.execute("SELECT key FROM settings")]
        database.close()
        return set(keys)

    def end(self):
        """By a kill: nothing is brought to safety any more. The other source has noticed nothing."""
        self.a.end()
        self.b.end()
        self.server.kill()
        self.assertEqual(self.b.refused, [])
        self.assertEqual(set(self.b.acked) - self.stored("b.db"), set())

    def expect_nothing_lost(self):
        self.wait_served_again()
        self.end()
        self.assertEqual(set(self.a.acked) - self.stored("a.db"), set())

    def test_wal_removed(self):
        os.unlink(self.path("a.db-wal"))
        self.expect_nothing_lost()
        self.assertIn("has been brought into the database", self.server.log())

    def test_wal_replaced(self):
        open(self.path("other"), "w").close()
        os.rename(self.path("other"), self.path("a.db-wal"))
        self.expect_nothing_lost()

    def test_wal_removed_while_nobody_writes(self):
        self.a.end()
        os.unlink(self.path("a.db-wal"))
        self.server.wait_for("has been brought into the database")
        self.end()
        self.assertEqual(set(self.a.acked) - self.stored("a.db"), set())

    def test_wal_and_index_removed(self):
        os.unlink(self.path("a.db-wal"))
        os.unlink(self.path("a.db-shm"))
        self.expect_nothing_lost()

    def test_wal_cut(self):
        """What was cut off is gone; what came after it was noticed is not, and the file is whole."""
        for bytes_left in (0, 100000):
            self.wait(lambda: os.path.getsize(self.path("a.db-wal")) > 200000)  # else nothing is cut off
            self.cut_wal(bytes_left)
            self.wait(lambda: self.a.refused)
            del self.a.acked[:]
            self.wait_served_again()
        self.end()
        self.assertEqual(set(self.a.acked) - self.stored("a.db"), set())

    def cut_wal(self, bytes_left):
        """Again, if a commit that was just being written made it as long as before."""
        count = self.server.log().count("was truncated by somebody")
        while self.server.log().count("was truncated by somebody") == count:
            os.truncate(self.path("a.db-wal"), bytes_left)
            until = time.monotonic() + 5
            self.wait(lambda: self.server.log().count("was truncated by somebody") > count or time.monotonic() > until)

    def test_index_cut(self):
        os.truncate(self.path("a.db-shm"), 0)
        self.expect_nothing_lost()

    @unittest.skipIf(KEEPS_INDEX, "CHATSTORE_FILES_KEEP_INDEX")
    def test_index_overwritten(self):
        with open(self.path("a.db-shm"), "r+b") as file:
            file.write(os.urandom(os.path.getsize(file.name)))
        self.expect_nothing_lost()

    @unittest.skipIf(KEEPS_INDEX, "CHATSTORE_FILES_KEEP_INDEX")
    def test_index_overwritten_again_and_again(self):
        """Also in the middle of a transaction, whose commit gives it a sound head again."""
        for _ in range(8):
            acked = len(self.a.acked)
            self.wait(lambda: len(self.a.acked) > acked)
            time.sleep(random.uniform(0, 0.002))
            with contextlib.suppress(FileNotFoundError), open(self.path("a.db-shm"), "r+b", buffering=0) as file:
                file.write(os.urandom(os.path.getsize(file.name)))
            since = time.monotonic()
            self.wait(lambda: self.a.last_ok_s > since + 0.02)
        self.expect_nothing_lost()

    def test_vacuum_by_another(self):
        """It makes the file shorter, which is no damage."""
        self.wait(lambda: len(self.a.acked) > 500)
        self.a.end()
        before = os.path.getsize(self.path("a.db")) + os.path.getsize(self.path("a.db-wal"))
        other = sqlite3.connect(self.path("a.db"), isolation_level=None)
        for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "DELETE FROM settings WHERE key LIKE 'a-%'",
                          "DELETE FROM chatstore_requests", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            other.execute(statement).fetchall()
        other.close()
        self.assertLess(os.path.getsize(self.path("a.db")), before)
        for _ in range(20):
            self.assertEqual(self.write("more"), OK)
            time.sleep(0.05)
        self.assertNotIn("is down", self.server.log())
        self.end()

    def test_database_cut(self):
        """Nothing is acknowledged that would go into half a file; when it is put back, all goes on."""
        self.a.end()
        self.copy_database()
        for part_left in (0.5, 0):
            os.truncate(self.path("a.db"), int(os.path.getsize(self.path("a.db")) * part_left))
            for _ in range(20):
                self.assertEqual(self.write("cut"), UNAVAILABLE)
                time.sleep(0.1)
            for name in "a.db-wal", "a.db-shm":
                if os.path.exists(self.path(name)):
                    os.unlink(self.path(name))
            shutil.copy(self.path("copy.db"), self.path("next.db"))
            os.rename(self.path("next.db"), self.path("a.db"))
            self.wait(lambda: self.write("again") == OK)
            self.copy_database()
        self.end()
        self.assertEqual(set(self.a.acked) - self.stored("a.db"), set())

    def copy_database(self):
        """All of it, in the file itself too: another process may empty the -wal, which is no damage."""
        source, copy = sqlite3.connect(self.path("a.db")), sqlite3.connect(self.path("copy.db"))
        self.assertEqual(source.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], 0)
        source.backup(copy)
        copy.close()
        source.close()
        self.assertEqual(self.write("whole"), OK)

    def write(self, key):
        peer = Peer(self.path("socket"))
        status = status_of(peer.call(write_frame(key, "a")))
        peer.close()
        return status


class LockedFiles(unittest.TestCase):
    def test_they_hold_up_nobody(self):
        """More of them than the server has threads for writing; another process holds each, from before the start on."""
        folder = tempfile.mkdtemp(prefix="chatstore-files-")
        self.addCleanup(shutil.rmtree, folder)
        names = [f"locked-{number}" for number in range(24)]
        holders = [sqlite3.connect(os.path.join(folder, f"{name}.db"), isolation_level=None) for name in names]
        for holder in holders:
            self.addCleanup(holder.close)
            holder.execute("CREATE TABLE t (a)")
            holder.execute("BEGIN EXCLUSIVE")
        with open(os.path.join(folder, "chatstore.toml"), "w") as file:
            file.write('[database]\ndefault = "free"\n[database.sources]\n'
                       + "".join(f'{name} = {{ path = "{name}.db" }}\n' for name in ["free", *names])
                       + '[service]\nlisten = ["ipc://socket"]\n')
        server = Server(CHATSTORED, folder, "--config", os.path.join(folder, "chatstore.toml"))
        self.addCleanup(server.kill)
        bot = Peer(os.path.join(folder, "socket"))
        for number in range(300):
            self.assertEqual(status_of(bot.call(write_frame(f"key-{number}", "free"))), OK)
            self.assertEqual(status_of(bot.call(write_frame("key", names[number % 24]))), UNAVAILABLE)
        for holder in holders:
            holder.execute("COMMIT")
        until = time.monotonic() + WAIT_S_MAX
        for name in names:
            while status_of(bot.call(write_frame("key", name))) != OK:
                self.assertLess(time.monotonic(), until, server.log())
                time.sleep(0.05)
        bot.close()
        server.close(is_busy=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
