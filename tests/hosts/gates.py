#!/usr/bin/env python3
"""That the judgements of hosts.py can fail: each is given what it must not let pass. gates.py BUILD"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE]
from hosts import judge_calls, ratio_problem, resumed_s  # noqa: E402

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"


def call(began=10.0, ended=10.5, timeout=1.0, status="OK", writer=0):
    return {"began": began, "ended": ended, "timeout": timeout, "status": status, "writer": writer, "client": "c"}


class Gates(unittest.TestCase):
    def test_calls_that_end_too_late_or_wrongly_are_found(self):
        good = [call(), call(status="UNAVAILABLE"), call(status="DEADLINE_EXCEEDED", ended=11.9)]
        self.assertEqual(judge_calls(good, 1.0), [])
        self.assertEqual(judge_calls([call(ended=12.1)], 1.0), ["a call of c with 1.0 s took 2.10 s"])
        for status in "INTERNAL", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED":
            self.assertEqual(judge_calls([call(status=status)], 1.0), [f"a call of c ended with {status}"])

    def test_writers_that_do_not_come_back_are_found(self):
        back = [call(ended=21.0), call(ended=23.0), call(ended=22.5, writer=1)]
        self.assertEqual(resumed_s(back, [0, 1], 20.0), {"c": 2.5})
        self.assertIsNone(resumed_s(back, [0, 1, 2], 20.0))
        self.assertIsNone(resumed_s([call(ended=21.0, status="UNAVAILABLE")], [0], 20.0))
        self.assertIsNone(resumed_s([call(ended=19.0)], [0], 20.0))

    def test_a_line_that_is_not_lossy_is_found(self):
        self.assertIsNone(ratio_problem("lost", 52, 1000, 5))
        for count, of in ((0, 1000), (19, 1000), (150, 1000), (3, 60)):
            self.assertIn("and not 5%", ratio_problem("lost", count, of, 5))

    def test_a_write_that_is_lost_is_found(self):
        """crash_checker_finds looks for everything else; this is for the program that hosts.py runs."""
        save = {"date": "2024-01-01T01:00:00Z", "chat_id": -1, "user_id": 1, "message_id": "w0-0", "message_text": "w0-0:"}
        lines = [{"method": "UpdateChatUser", "request": {"chat_id": -1, "user_id": 1, "username": "a", "full_name": "a"}},
                 {"method": "SaveChatMessage", "request": save, "request_id": "id-0"}]
        with tempfile.TemporaryDirectory(prefix="chatstore-hosts-gates-") as folder:
            path, journal = os.path.join(folder, "main.db"), os.path.join(folder, "journal")
            subprocess.run([os.path.join(BUILD, "stubs", "cli", "chatstore"), "call", "--stdin", "--url",
                            f"embedded:{path}"], input="\n".join(map(json.dumps, lines)), text=True,
                           capture_output=True, check=True)
            for op, status in (("w0-0", 0), ("w0-1", 1)):
                with open(journal, "a", encoding="utf-8") as file:
                    file.write(f"intent\t{op}\tsave\tmain\t-1\t1\t1\t0\tid-{op[-1]}\nack\t{op}\t4\n")
                said = subprocess.run([os.path.join(BUILD, "tests", "crash", "crash_check"), journal, f"main={path}"],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(said.returncode, status, said)
            self.assertIn("lost: acknowledged messages that are not there: w0-1", said.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
