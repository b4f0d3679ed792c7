#!/usr/bin/env python3
"""The rollout drill: bots that write one file by themselves, each a process of its own, move to chatstore one
by one and back again, as docs/migration.md says. All of them call all the while, and no call of any may fail.

    drill.py BUILD [--seconds 0] [--bots 3]

Plays it on a file of the present schema and on one of the first version, and again until the time is over.
What the bots were answered and what is in the file in the end is compared by judge.py."""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE_DIR = os.path.join(HERE, "..", "..")
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from bot import CHAT  # noqa: E402
from judge import judge, read_journal, schema_of  # noqa: E402
from old_wrapper import VERSION, OldWrapper  # noqa: E402
from served import WAIT_S_MAX, Server, run  # noqa: E402

CALLS_MAX = 25  # of each bot between two moves, at most
BESIDE = 'path = "bot.db", journal-mode = "keep"'
ALONE = 'path = "bot.db"'


class BotProcess:
    def __init__(self, number, folder, build, version):
        self.journal = os.path.join(folder, f"bot-{number}.journal")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATSTORE_")}
        environment["PYTHONPATH"] = os.path.join(build, "python")
        with open(os.path.join(folder, f"bot-{number}.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-B", os.path.join(HERE, "bot.py"), str(number), self.journal,
                 os.path.join(folder, "bot.db"), str(version)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=environment)

    def count(self, word):
        """Lines of its journal that begin so."""
        if not os.path.exists(self.journal):
            return 0
        with open(self.journal, encoding="utf-8") as journal:
            return sum(line.startswith(word) for line in journal)

    def calls(self):
        if self.process.poll() is not None:
            raise AssertionError(f"a bot has ended: {open(self.journal, encoding='utf-8').read()[-500:]}")
        return self.count("read")

    def move(self, where):
        self.process.stdin.write(where + "\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        if self.process.wait(WAIT_S_MAX) != 0:
            raise AssertionError(f"a bot ended with {self.process.returncode}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Drill:
    """One way there and back."""

    def __init__(self, build, folder, version, bot_count):
        self.build, self.folder, self.version = build, folder, version
        self.path, self.config = os.path.join(folder, "bot.db"), os.path.join(folder, "chatstore.toml")
        self.url = f"ipc://{folder}/socket"
        self.server = None
        file = OldWrapper(self.path, version)
        file.updateChatInfo(CHAT, "group", "Chat")
        file.close()
        self.schema = schema_of(self.path)
        self.bots = [BotProcess(number, folder, build, version) for number in range(1, bot_count + 1)]

    def wait_until(self, what, is_so):
        until = time.monotonic() + WAIT_S_MAX
        while not is_so():
            if time.monotonic() > until:
                raise AssertionError(f"{what} does not come")
            time.sleep(0.005)

    def let_them_call(self):
        """Until each has been answered a number of times more, and then to a random instant."""
        wanted = [(bot, bot.calls() + random.randrange(1, CALLS_MAX)) for bot in self.bots]
        self.wait_until("a call of each bot", lambda: all(bot.calls() >= calls for bot, calls in wanted))
        time.sleep(random.uniform(0, 0.02))

    def move(self, bot, where):
        moves = bot.count("moved")
        bot.move(where)
        self.wait_until("a bot's move", lambda: bot.count("moved") > moves and bot.calls() >= 0)
        self.let_them_call()

    def move_all(self, where):
        for bot in random.sample(self.bots, len(self.bots)):
            self.move(bot, where)

    def write_config(self, source):
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(f'[database]\ndefault = "primary"\nsources = {{ primary = {{ {source} }} }}\n'
                       f'[service]\nlisten = ["{self.url}"]\n')
        os.rename(self.config + ".new", self.config)

    def serve(self):
        self.server = Server(os.path.join(self.build, "service", "chatstored"), self.folder, "--config", self.config)

    def way_back(self):
        run(os.path.join(SOURCE_DIR, "examples", "way-back"), self.path, check=True)

    def expect_journal(self, mode):
        file = OldWrapper(self.path, self.version)
        found = file.one("PRAGMA journal_mode")["journal_mode"]
        file.close()
        if found != mode:
            raise AssertionError(f"the journal mode is {found}, not {mode}")

    def play(self):
        for bot in self.bots:
            bot.move("file")
        self.let_them_call()
        # 1. chatstore beside the bots
        self.write_config(BESIDE)
        self.serve()
        self.let_them_call()
        self.expect_journal("delete")
        # 2. the bots call chatstore, then nobody else has the file
        self.move_all(self.url)
        self.write_config(ALONE)
        run(os.path.join(self.build, "stubs", "cli", "chatstore"), "reload", "--url", self.url, check=True)
        self.let_them_call()
        self.expect_journal("wal")
        # its undo
        self.write_config(BESIDE)
        self.server.close()
        self.way_back()
        self.serve()
        self.let_them_call()
        self.expect_journal("delete")
        self.move_all("file")
        # and that of 1.
        self.server.close()
        self.way_back()
        self.let_them_call()
        for bot in self.bots:
            bot.end()

    def outcome(self):
        """The journals, and what is wrong."""
        journals = {number: read_journal(bot.journal) for number, bot in enumerate(self.bots, 1)}
        return journals, judge(journals, self.path, self.schema, self.version)

    def close(self):
        for bot in self.bots:
            bot.kill()
        if self.server:
            self.server.kill()


def play_one(build, version, bot_count):
    folder = tempfile.mkdtemp(prefix="chatstore-rollout-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        drill = Drill(build, folder, version, bot_count)
        stack.callback(drill.close)
        try:
            drill.play()
        except Exception as error:  # pylint: disable=broad-except
            said = drill.server.log()[-3000:] if drill.server else ""
            journals, problems = drill.outcome()
            raise AssertionError(f"{error}; {problems}; server: {said}") from error
        return drill.outcome()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--bots", type=int, default=3)
    options = parser.parse_args()
    until, rounds, wrong = time.monotonic() + options.seconds, 0, 0
    calls = {"file": 0, "service": 0}
    messages = 0
    while rounds < 2 or time.monotonic() < until:
        journals, problems = play_one(options.build, (VERSION, 1)[rounds % 2], options.bots)
        for problem in problems:
            print(f"MISSED: {problem}")
        wrong += len(problems)
        rounds += 1
        for journal in journals.values():
            messages += len(journal.saved)
            for where in calls:
                calls[where] += journal.calls[where]
    print(f"FIGURES {rounds} rollouts and ways back of {options.bots} bots: {calls['file']} calls of old wrappers, "
          f"{calls['service']} of the service, {messages} messages saved, {wrong} failed, lost, doubled or "
          "counted wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
