"""The bots' own wrapper, as far as the drill needs it: its tables at a version of its schema, its
statements, its habits (sqlite3's implicit transactions, a commit after each call, 30 s for a lock). What
chatstore may not break."""

import contextlib
import sqlite3
from datetime import datetime

VERSION = 6
TIMES = "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP"


def cache_table(kind):
    return f"CREATE TABLE IF NOT EXISTS cache_{kind} (key TEXT PRIMARY KEY, data TEXT NOT NULL, {TIMES})"


def verdict_table(kind):
    return (f"CREATE TABLE IF NOT EXISTS {kind}_messages (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, "
            f"message_id TEXT NOT NULL, text TEXT NOT NULL, reason TEXT NOT NULL, score FLOAT NOT NULL, {TIMES}, "
            "PRIMARY KEY (chat_id, user_id, message_id))")


FIRST_TABLES = (
    f"CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT, {TIMES})",
    "CREATE TABLE IF NOT EXISTS chat_messages (chat_id INTEGER NOT NULL, message_id TEXT NOT NULL, "
    "date TIMESTAMP NOT NULL, user_id INTEGER NOT NULL, reply_id TEXT, thread_id INTEGER NOT NULL DEFAULT 0, "
    "root_message_id TEXT, message_text TEXT NOT NULL, message_type TEXT DEFAULT 'text' NOT NULL, "
    "message_category TEXT DEFAULT 'user' NOT NULL, quote_text TEXT, media_id TEXT, "
    "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (chat_id, message_id))",
    "CREATE TABLE IF NOT EXISTS chat_users (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, "
    "username TEXT NOT NULL, full_name TEXT NOT NULL, timezone TEXT, messages_count INTEGER DEFAULT 0 NOT NULL, "
    f"{TIMES}, PRIMARY KEY (chat_id, user_id))",
    "CREATE TABLE IF NOT EXISTS chat_info (chat_id INTEGER PRIMARY KEY, title TEXT, username TEXT, "
    f"type TEXT NOT NULL, is_forum BOOLEAN NOT NULL DEFAULT FALSE, {TIMES})",
    "CREATE TABLE IF NOT EXISTS chat_topics (chat_id INTEGER NOT NULL, topic_id INTEGER NOT NULL, "
    f"icon_color INTEGER, icon_custom_emoji_id TEXT, name TEXT, {TIMES}, PRIMARY KEY (chat_id, topic_id))",
    "CREATE TABLE IF NOT EXISTS chat_settings (chat_id INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, "
    f"{TIMES}, PRIMARY KEY (chat_id, key))",
    "CREATE TABLE IF NOT EXISTS chat_stats (chat_id INTEGER NOT NULL, date TIMESTAMP NOT NULL, "
    f"messages_count INTEGER DEFAULT 0 NOT NULL, {TIMES}, PRIMARY KEY (chat_id, date))",
    "CREATE TABLE IF NOT EXISTS chat_user_stats (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, "
    f"date TIMESTAMP NOT NULL, messages_count INTEGER DEFAULT 0 NOT NULL, {TIMES}, "
    "PRIMARY KEY (chat_id, user_id, date))",
    "CREATE TABLE IF NOT EXISTS media_attachments (file_unique_id TEXT PRIMARY KEY, file_id TEXT, "
    "file_size INTEGER, media_type TEXT NOT NULL, metadata TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending', "
    f"mime_type TEXT, local_url TEXT, prompt TEXT, description TEXT, {TIMES})",
    "CREATE TABLE IF NOT EXISTS delayed_tasks (id TEXT PRIMARY KEY NOT NULL, delayed_ts INTEGER NOT NULL, "
    f"function TEXT NOT NULL, kwargs TEXT NOT NULL, is_done BOOLEAN NOT NULL DEFAULT FALSE, {TIMES})",
    "CREATE TABLE IF NOT EXISTS user_data (user_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, key TEXT NOT NULL, "
    f"data TEXT NOT NULL, {TIMES}, PRIMARY KEY (user_id, chat_id, key))",
    verdict_table("spam"), verdict_table("ham"),
    "CREATE TABLE IF NOT EXISTS chat_summarization_cache (csid TEXT PRIMARY KEY, chat_id INTEGER NOT NULL, "
    "topic_id INTEGER, first_message_id TEXT NOT NULL, last_message_id TEXT NOT NULL, prompt TEXT NOT NULL, "
    f"summary TEXT NOT NULL, {TIMES})",
    "CREATE INDEX IF NOT EXISTS chat_summarization_cache_ctfl_index ON chat_summarization_cache (chat_id, topic_id, "
    "first_message_id, last_message_id, prompt)",
    "CREATE TABLE IF NOT EXISTS bayes_tokens (token TEXT NOT NULL, chat_id INTEGER, spam_count INTEGER DEFAULT 0, "
    f"ham_count INTEGER DEFAULT 0, total_count INTEGER DEFAULT 0, {TIMES}, PRIMARY KEY (token, chat_id))",
    "CREATE INDEX IF NOT EXISTS bayes_tokens_chat_idx ON bayes_tokens(chat_id)",
    "CREATE INDEX IF NOT EXISTS bayes_tokens_total_idx ON bayes_tokens(total_count)",
    "CREATE TABLE IF NOT EXISTS bayes_classes (chat_id INTEGER, is_spam BOOLEAN NOT NULL, "
    f"message_count INTEGER DEFAULT 0, token_count INTEGER DEFAULT 0, {TIMES}, PRIMARY KEY (chat_id, is_spam))",
    "CREATE INDEX IF NOT EXISTS bayes_classes_chat_idx ON bayes_classes(chat_id)",
    cache_table("weather"), cache_table("geocoding"))

# STEPS[n] brings version n to n + 1.
STEPS = (
    FIRST_TABLES,
    ("ALTER TABLE chat_users ADD COLUMN is_spammer BOOLEAN DEFAULT FALSE NOT NULL",),
    ("ALTER TABLE chat_users ADD COLUMN metadata TEXT DEFAULT '' NOT NULL",),
    ("CREATE TABLE IF NOT EXISTS cache_storage (namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, "
     "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (namespace, key))",
     "CREATE INDEX IF NOT EXISTS idx_cache_namespace ON cache_storage(namespace)"),
    (cache_table("yandex_search"),),
    (cache_table("geocode_maps_search"), cache_table("geocode_maps_reverse"), cache_table("geocode_maps_lookup")))


class OldWrapper:
    """The calls have the names and answers of the real one, but they raise: the drill wants to know."""

    def __init__(self, path, version=VERSION, timeout=30.0):
        self.file = sqlite3.connect(path, timeout=timeout)
        self.file.row_factory = sqlite3.Row
        self.migrate(version)

    def close(self):
        self.file.close()

    @contextlib.contextmanager
    def cursor(self):
        cursor = self.file.cursor()
        try:
            yield cursor
            self.file.commit()
        except BaseException:
            self.file.rollback()
            raise

    def migrate(self, version):
        """As its own code does at each start: a file of a later version is left as it is."""
        with self.cursor() as cursor:
            settings = cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone()
            found = cursor.execute("SELECT value FROM settings WHERE key = 'db-migration-version'").fetchone() \
                if settings else None
        for step in range(int(found[0]) if found else 0, version):
            with self.cursor() as cursor:
                for statement in STEPS[step]:
                    cursor.execute(statement)
            self.setSetting("db-migration-version", str(step + 1))
            self.setSetting("db-migration-last-run", datetime.now().isoformat())

    def one(self, sql, *values):
        with self.cursor() as cursor:
            row = cursor.execute(sql, values).fetchone()
        return dict(row) if row else None

    def setSetting(self, key, value):
        with self.cursor() as cursor:
            cursor.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))
        return True

    def getSetting(self, key):
        row = self.one("SELECT value FROM settings WHERE key = ?", key)
        return row["value"] if row else None

    def updateChatInfo(self, chatId, type, title=None):
        with self.cursor() as cursor:
            cursor.execute("INSERT INTO chat_info (chat_id, type, title) VALUES (?, ?, ?) ON CONFLICT (chat_id) "
                           "DO UPDATE SET type = excluded.type, title = excluded.title, "
                           "updated_at = CURRENT_TIMESTAMP", (chatId, type, title))
        return True

    def updateChatUser(self, chatId, userId, username, fullName):
        with self.cursor() as cursor:
            cursor.execute("INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES (?, ?, ?, ?) "
                           "ON CONFLICT (chat_id, user_id) DO UPDATE SET username = excluded.username, "
                           "full_name = excluded.full_name, updated_at = CURRENT_TIMESTAMP",
                           (chatId, userId, username, fullName))
        return True

    def getChatUser(self, chatId, userId):
        return self.one("SELECT * FROM chat_users WHERE chat_id = ? AND user_id = ?", chatId, userId)

    def saveChatMessage(self, date, chatId, userId, messageId, messageText="", messageCategory="unspecified"):
        day = date.replace(hour=0, minute=0, second=0, microsecond=0)
        with self.cursor() as cursor:
            cursor.execute("INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text, "
                           "message_category) VALUES (?, ?, ?, ?, ?, ?)",
                           (chatId, str(messageId), str(date), userId, messageText, messageCategory))
            cursor.execute("UPDATE chat_users SET messages_count = messages_count + 1, "
                           "updated_at = CURRENT_TIMESTAMP WHERE chat_id = ? AND user_id = ?", (chatId, userId))
            cursor.execute("INSERT INTO chat_stats (chat_id, date, messages_count) VALUES (?, ?, 1) "
                           "ON CONFLICT (chat_id, date) DO UPDATE SET messages_count = messages_count + 1, "
                           "updated_at = CURRENT_TIMESTAMP", (chatId, str(day)))
            cursor.execute("INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count) "
                           "VALUES (?, ?, ?, 1) ON CONFLICT (chat_id, user_id, date) DO UPDATE SET "
                           "messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP",
                           (chatId, userId, str(day)))
        return True

    MESSAGES = ("SELECT m.*, u.username, u.full_name FROM chat_messages m JOIN chat_users u ON u.chat_id = m.chat_id "
                "AND u.user_id = m.user_id ")

    def getChatMessageByMessageId(self, chatId, messageId):
        return self.one(self.MESSAGES + "WHERE m.chat_id = ? AND m.message_id = ?", chatId, str(messageId))

    def getChatMessagesSince(self, chatId, limit):
        with self.cursor() as cursor:
            rows = cursor.execute(self.MESSAGES + "WHERE m.chat_id = ? ORDER BY m.date DESC LIMIT ?",
                                  (chatId, limit)).fetchall()
        return [dict(row) for row in rows]
