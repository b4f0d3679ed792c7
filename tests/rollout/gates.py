#!/usr/bin/env python3
"""That the drill's judge finds what is wrong, and that a bot says so when a call of it fails: forged files and
journals, and a file that somebody has locked."""

import os
import shutil
import sqlite3
import sys
import tempfile
import unittest
from datetime import datetime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from bot import CHAT, Bot  # noqa: E402
from judge import judge, read_journal, schema_of  # noqa: E402
from old_wrapper import VERSION, OldWrapper  # noqa: E402

GOOD_JOURNAL = """moved file
save 1-0 hello
saved 1-0
set 3
is 3
moved ipc:///somewhere
save 1-1 again
saved 1-1
read
moved file
read
"""


class Gates(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="chatstore-gates-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path, self.journal = os.path.join(self.folder, "bot.db"), os.path.join(self.folder, "journal")
        file = OldWrapper(self.path)
        file.updateChatUser(CHAT, 1, "@bot1", "Bot")
        for number, text in enumerate(("hello", "again")):
            file.saveChatMessage(datetime(2026, 1, 2 + number), CHAT, 1, f"1-{number}", messageText=text)
        file.setSetting("bot-1", "3")
        file.close()
        self.schema = schema_of(self.path)
        self.write(GOOD_JOURNAL)

    def write(self, text):
        with open(self.journal, "w", encoding="utf-8") as file:
            file.write(text)

    def problems(self, version=VERSION):
        return judge({1: read_journal(self.journal)}, self.path, self.schema, version)

    def test_what_is_good_is_let_pass(self):
        self.assertEqual(self.problems(), [])

    def test_forged_files_are_found(self):
        shutil.copy(self.path, self.path + ".good")
        for forgery, said in (
                ("DELETE FROM chat_messages WHERE message_id = '1-1'", "message 1-1 is None"),
                ("UPDATE chat_messages SET message_text = 'other' WHERE message_id = '1-0'", "message 1-0 is other"),
                ("INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
                 "VALUES (-1001, '1-2', '2026-01-02 00:00:00', 1, 'nobody sent it')", "message 1-2 is nobody sent it"),
                ("UPDATE chat_users SET messages_count = 3", "counters of chat_users"),
                ("UPDATE chat_stats SET messages_count = 0", "counters of chat_stats"),
                ("UPDATE chat_user_stats SET messages_count = 2", "counters of chat_user_stats"),
                ("UPDATE settings SET value = '2' WHERE key = 'bot-1'", "the setting of bot 1"),
                ("UPDATE settings SET value = '5' WHERE key = 'db-migration-version'", "the version is"),
                ("CREATE TABLE chatstore_requests (number INTEGER)", "chatstore_requests is left"),
                ("CREATE INDEX more ON settings (value)", "index more was added"),
                ("DROP INDEX idx_cache_namespace", "idx_cache_namespace is gone"),
                ("ALTER TABLE settings ADD COLUMN more", "table settings has changed"),
                ("PRAGMA journal_mode = wal", "journal_mode says")):
            shutil.copy(self.path + ".good", self.path)
            file = sqlite3.connect(self.path)
            file.execute(forgery)
            file.commit()
            file.close()
            self.assertIn(said, " ".join(self.problems()), forgery)

    def test_an_older_schema_may_grow_but_not_lose(self):
        with sqlite3.connect(self.path) as file:
            file.execute("ALTER TABLE settings ADD COLUMN more")
        self.assertEqual(self.problems(version=1), [])
        with sqlite3.connect(self.path) as file:
            file.execute("ALTER TABLE chat_users DROP COLUMN timezone")
        self.assertIn("table chat_users has changed", " ".join(self.problems(version=1)))

    def test_forged_journals_are_found(self):
        for old, new, said in (("read\n", "FAILED reading at file\n", "bot 1: reading at file"),
                               ("saved 1-1\n", "", "nobody answered whether 1-1 is saved"),
                               ("moved ipc:///somewhere\n", "", "bot 1 moved"),
                               ("save 1-1 again", "save 1-1 another", "message 1-1 is again")):
            self.write(GOOD_JOURNAL.replace(old, new))
            self.assertIn(said, " ".join(self.problems()), old)

    def test_a_bot_tells_that_a_call_failed(self):
        bot = Bot(1, self.journal, self.path, VERSION)
        bot.move("file")
        bot.wrapper.file.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(self.path)
        other.execute("BEGIN EXCLUSIVE")
        with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            bot.rename()
        other.close()
        bot.messages = 5  # which it has not written
        bot.read()
        bot.wrapper.close()
        os.close(bot.journal)
        self.assertIn("bot 1: after 5 messages", " ".join(self.problems()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
