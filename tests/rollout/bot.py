#!/usr/bin/env python3
"""One bot of the drill: it calls without a pause, and writes down what it asked and what it was answered.

    bot.py NUMBER JOURNAL FILE VERSION

Each line of standard input is where its next call goes: "file" (the old wrapper on FILE, whose own code is
of that VERSION of the schema) or a URL of chatstore. It moves between two calls, when it has read the line,
and ends with its input. The journal's lines:

    moved WHERE                before the first call there
    save ID TEXT, saved ID     before and after a message was saved
    set VALUE, is VALUE        the same of its setting
    read                       a read that had what this bot had written
    FAILED WHAT                anything else"""

import os
import random
import sys
import threading
import time
from datetime import datetime, timedelta

from old_wrapper import OldWrapper

CHAT = -1001
START = datetime(2026, 1, 2, 23, 50)
PAUSE_S_MAX = 0.01


class Bot:
    def __init__(self, number, journal, path, version):
        self.number, self.path, self.version = number, path, version
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.wanted, self.where, self.wrapper = [], "", None
        self.calls = self.messages = 0

    def note(self, *words):
        os.write(self.journal, (" ".join(str(word) for word in words) + "\n").encode())

    def listen(self):
        for line in sys.stdin:
            self.wanted.append(line.strip())
        self.wanted.append("end")

    def open(self, where):
        if where == "file":
            return OldWrapper(self.path, self.version)
        # The package as it is on a machine that only calls: its native part, built for a sanitizer, would not load.
        sys.modules["chatstore._native"] = None
        from chatstore.wrapper import DatabaseWrapper
        return DatabaseWrapper(where)

    def move(self, where):
        if self.wrapper:
            self.wrapper.close()
        self.note("moved", where)
        self.where, self.wrapper = where, self.open(where)

    def must(self, said, what):
        if not said:
            self.note("FAILED", what, "at", self.where)
        return said

    def save(self):
        identity = f"{self.number}-{self.messages}"
        text = f"text-{self.number}-{random.randrange(10**9)}"
        # A minute each: so that several days have counters.
        date = START + timedelta(minutes=self.messages)
        self.messages += 1
        self.note("save", identity, text)
        if self.must(self.wrapper.saveChatMessage(date, CHAT, self.number, identity, messageText=text,
                                                  messageCategory="user"), f"saving {identity}"):
            self.note("saved", identity)
        row = self.wrapper.getChatMessageByMessageId(CHAT, identity)
        if self.must(row and row["message_text"] == text and row["user_id"] == self.number, f"{identity} is {row}"):
            self.note("read")

    def set(self):
        key, value = f"bot-{self.number}", str(self.calls)
        self.note("set", value)
        if self.must(self.wrapper.setSetting(key, value), f"setting {value}"):
            self.note("is", value)
        found = self.wrapper.getSetting(key)
        if self.must(found == value, f"the setting is {found}, not {value}"):
            self.note("read")

    def read(self):
        rows = self.wrapper.getChatMessagesSince(CHAT, limit=10)
        dates = [str(row["date"]) for row in rows]
        if self.must(rows and dates == sorted(dates, reverse=True), f"the newest are {rows}"):
            self.note("read")
        user = self.wrapper.getChatUser(CHAT, self.number)
        if self.must(user and user["messages_count"] == self.messages, f"after {self.messages} messages: {user}"):
            self.note("read")

    def rename(self):
        self.must(self.wrapper.updateChatUser(CHAT, self.number, f"@bot{self.number}", f"Bot at {self.calls}"),
                  "updating the user")

    def run(self):
        threading.Thread(target=self.listen, daemon=True).start()
        while True:
            while not self.wanted and not self.where:
                time.sleep(0.01)
            if self.wanted:
                where = self.wanted.pop(0)
                if where == "end":
                    break
                self.move(where)
            if self.calls == 0:
                self.rename()
                self.save()
            random.choice((self.save, self.save, self.save, self.set, self.read, self.rename))()
            self.calls += 1
            time.sleep(random.uniform(0, PAUSE_S_MAX))
        self.wrapper.close()


def main():
    number, journal, path, version = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    bot = Bot(number, journal, path, version)
    try:
        bot.run()
    except Exception as error:  # pylint: disable=broad-except
        bot.note("FAILED", repr(error), "at", bot.where)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
