#!/usr/bin/env python3
"""That the judgements of tests/load can fail: each is given what it must not let pass."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "bench", "peers")]
from overload import judge  # noqa: E402
from served import Usage, Witness, settle, usage_of  # noqa: E402
from soak import growth_problem  # noqa: E402

LEAK = """import socket, sys, threading
kept = []
print("before", flush=True)
sys.stdin.readline()
if sys.argv[1] == "files":
    kept.append(socket.socket())
else:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("after", flush=True)
sys.stdin.readline()
"""
GOOD = {"refused": 90, "errors": 90, "goodput": 95, "capacity": 100, "p99_us": 10, "refused_p99_us": 20,
        "rss_kib": 1000, "rss_before_kib": 1000}


class Gates(unittest.TestCase):
    def test_descriptors_and_threads_that_stay_are_found(self):
        for what in "files", "threads":
            with subprocess.Popen([sys.executable, "-c", LEAK, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True) as leaky:
                leaky.stdout.readline()
                before = usage_of(leaky.pid)
                settle(leaky.pid, before, what)
                leaky.stdin.write("\n")
                leaky.stdin.flush()
                leaky.stdout.readline()
                with self.assertRaisesRegex(AssertionError, "do not go back"):
                    settle(leaky.pid, before, what, wait_s=0.3)
                settle(leaky.pid, Usage(0, before.files + 1, before.threads + 1), what)
                leaky.stdin.close()

    def witness_of(self, pauses_s):
        """Of a server that answers so many calls, each after a pause, and then none."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = threading.Event()

        def serve():
            with listener.accept()[0] as peer, peer.makefile("rb") as stream, contextlib.suppress(BrokenPipeError):
                peer.sendall(b"\0SP\0\0\x31\0\0")
                stream.read(8)  # the other's hello
                for pause_s in pauses_s:
                    stream.read(int.from_bytes(stream.read(8), "big"))
                    time.sleep(pause_s)
                    peer.sendall((4).to_bytes(8, "big") + b"\x80\0\0\1")
                done.wait()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(listener.close)
        self.addCleanup(thread.join)
        self.addCleanup(done.set)
        return Witness(listener.getsockname(), timeout_s=1)

    def test_a_server_that_stops_answering_is_found(self):
        witness = self.witness_of([0, 0, 0])
        while not witness.error:
            time.sleep(0.01)
        with self.assertRaisesRegex(AssertionError, "not served any more .* after 3 calls"):
            witness.check("a dead server")

    def test_a_server_that_answers_slowly_is_found(self):
        with self.assertRaisesRegex(AssertionError, "a call of another client took "):
            self.witness_of([0.2] * 10).check("a slow server", slowest_s_max=0.1)

    def test_memory_that_grows_is_found(self):
        self.assertIsNone(growth_problem([(at, 50000 + at % 7, 9, 9, 0) for at in range(90)]))
        self.assertIsNone(growth_problem([(at, 50000 + min(at, 20) * 1000, 9, 9, 0) for at in range(90)]))
        self.assertIn("memory grows", growth_problem([(at, 50000 + at * 500, 9, 9, 0) for at in range(90)]))

    def test_what_overload_breaks_is_found(self):
        self.assertEqual(judge(GOOD), [])
        most_kib = 2 * GOOD["rss_before_kib"] + (64 << 10)
        self.assertEqual(judge({**GOOD, "rss_kib": most_kib}), [])
        self.assertIn("memory grew", " ".join(judge({**GOOD, "rss_kib": most_kib + 1})))
        for bad, said in (({"goodput": 89}, "goodput is 89%"), ({"refused_p99_us": 51}, "5.1 times"),
                          ({"errors": 91}, "1 calls failed"), ({"rss_kib": 1 << 20}, "memory grew"),
                          ({"goodput": 0}, "nothing was answered")):
            self.assertIn(said, " ".join(judge({**GOOD, **bad})))
        none = {**GOOD, "refused": 0, "errors": 0}
        self.assertEqual(judge(none, short=True), ["nothing was refused"])
        self.assertEqual(judge(none, waits=True), [])
        self.assertIn("goodput is 89%", " ".join(judge({**none, "goodput": 89}, waits=True)))

    @unittest.skipUnless(shutil.which("git"), "there is no git")
    def test_each_commit_has_one_turn(self):
        """In a clone without history too, where each commit would be the first."""
        with tempfile.TemporaryDirectory() as folder:
            git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e"]
            then = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
            shutil.copy(os.path.join(HERE, "in_turn"), folder)
            subprocess.run([*git, "init", "-q"], check=True)
            turns = set()
            for number in range(24):
                subprocess.run([*git, "commit", "-q", "--allow-empty", "--amend" if number else "--allow-empty", "-m",
                                str(number)], check=True, env={**os.environ, **then})
                ran = [turn for turn in range(3) if subprocess.run(
                    [os.path.join(folder, "in_turn"), str(turn), "3", "true"], env={**os.environ, "CI": "true"},
                    stdout=subprocess.DEVNULL, check=False).returncode == 0]
                self.assertEqual(len(ran), 1, number)
                turns.add(ran[0])
        self.assertEqual(turns, {0, 1, 2})


if __name__ == "__main__":
    unittest.main(verbosity=2)
