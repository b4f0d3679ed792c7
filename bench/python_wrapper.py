#!/usr/bin/env python3
"""The drop-in DatabaseWrapper beside a minimal sqlite3 implementation of the same calls.

    PYTHONPATH=BUILD/python bench/python_wrapper.py [--server BUILD/service/chatstored] [--rounds N]

Three ways to the same rows: Python's sqlite3 in this process (same journal mode and synchronous,
times parsed, dictionaries built), the drop-in embedded, and the drop-in over a unix socket. They
take turns within each round, on files made alike; the table shows medians and how they compare.
Before that each way saves some thousand messages, so that its write-ahead log has the size that it
keeps: while it grows every commit costs more, and the service lets it grow larger than sqlite3 does.
Files are in --folder, which should be on a real disk: commits are measured.
"""

import argparse
import gc
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timedelta

from chatstore.wrapper import DatabaseWrapper

CHAT, USERS, MESSAGES = -1001234567890, 40, 5000
START = datetime(2026, 1, 1)

USER_SQL = "SELECT * FROM chat_users WHERE chat_id = ? AND user_id = ?"
MESSAGES_SQL = """
SELECT c.*, u.username, u.full_name, m.file_unique_id AS media_file_unique_id,
    m.file_id AS media_file_id, m.file_size AS media_file_size, m.media_type AS media_media_type,
    m.metadata AS media_metadata, m.status AS media_status, m.mime_type AS media_mime_type,
    m.local_url AS media_local_url, m.prompt AS media_prompt, m.description AS media_description,
    m.created_at AS media_created_at, m.updated_at AS media_updated_at
FROM chat_messages c JOIN chat_users u ON c.chat_id = u.chat_id AND c.user_id = u.user_id
LEFT JOIN media_attachments m ON c.media_id = m.file_unique_id
WHERE c.chat_id = ? ORDER BY c.date DESC LIMIT ?"""
SAVE_SQL = """
INSERT INTO chat_messages (date, chat_id, user_id, message_id, message_text, message_type,
    message_category) VALUES (?, ?, ?, ?, ?, 'text', 'user')"""
COUNT_USER_SQL = """
UPDATE chat_users SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP
WHERE chat_id = ? AND user_id = ?"""
COUNT_CHAT_SQL = """
INSERT INTO chat_stats (chat_id, date, messages_count) VALUES (?, ?, 1)
ON CONFLICT (chat_id, date) DO UPDATE
SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP"""
COUNT_CHAT_USER_SQL = """
INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count) VALUES (?, ?, ?, 1)
ON CONFLICT (chat_id, user_id, date) DO UPDATE
SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP"""
TIMES = ("date", "created_at", "updated_at", "media_created_at", "media_updated_at")


class Minimal:
    """The three calls, with nothing around them."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = wal")
        self.db.execute("PRAGMA synchronous = full")
        self.db.row_factory = self._row

    @staticmethod
    def _row(cursor, values):
        row = dict(zip([each[0] for each in cursor.description], values))
        for name in TIMES:
            if row.get(name) is not None:
                row[name] = datetime.fromisoformat(row[name])
        if "is_spammer" in row:
            row["is_spammer"] = bool(row["is_spammer"])
        return row

    def getChatUser(self, chatId, userId):
        return self.db.execute(USER_SQL, (chatId, userId)).fetchone()

    def getChatMessagesSince(self, chatId, limit):
        return self.db.execute(MESSAGES_SQL, (chatId, limit)).fetchall()

    def saveChatMessage(self, date, chatId, userId, messageId, messageText, messageCategory):
        text = date.strftime("%Y-%m-%d %H:%M:%S")
        day = date.strftime("%Y-%m-%d 00:00:00")
        run = self.db.execute
        run("BEGIN IMMEDIATE")
        run(SAVE_SQL, (text, chatId, userId, str(messageId), messageText))
        run(COUNT_USER_SQL, (chatId, userId))
        run(COUNT_CHAT_SQL, (chatId, day))
        run(COUNT_CHAT_USER_SQL, (chatId, userId, day))
        run("COMMIT")
        return True

    def close(self):
        self.db.close()


def fill(path):
    """A file of the present schema, made by the drop-in, with rows."""
    DatabaseWrapper(path).close()
    db = sqlite3.connect(path)
    with db:
        db.executemany("INSERT INTO chat_users (chat_id, user_id, username, full_name) "
                       "VALUES (?, ?, ?, ?)",
                       [(CHAT, i, f"@user{i}", f"User {i}") for i in range(1, USERS + 1)])
        db.executemany(SAVE_SQL, [
            (str(START + timedelta(minutes=i)), CHAT, i % USERS + 1, str(i), f"message {i} " * 8)
            for i in range(MESSAGES)])
    db.close()


def start_server(program, folder, path):
    url = f"ipc://{folder}/bench.sock"
    log = open(os.path.join(folder, "server.log"), "w", encoding="utf-8")
    server = subprocess.Popen([program, "--db", path, "--listen", url], stderr=log)
    for _ in range(100):
        if os.path.exists(url[len("ipc://"):]):
            return server, url
        time.sleep(0.05)
    raise SystemExit(f"{program} does not listen; see {log.name}")


def measure(call, count):
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count * 1e6


def make_calls(number):
    """(name, calls in a round, function of a wrapper) of each measured call."""
    def save(db):
        number[0] += 1
        assert db.saveChatMessage(
            date=START + timedelta(days=30, seconds=number[0]), chatId=CHAT,
            userId=number[0] % USERS + 1, messageId=MESSAGES + number[0],
            messageText="what somebody wrote", messageCategory="user")

    def newest(db):
        assert len(db.getChatMessagesSince(CHAT, limit=100)) == 100

    def user(db):
        assert db.getChatUser(CHAT, 7)["username"] == "@user7"

    return [("getChatUser", 100, user), ("saveChatMessage", 10, save),
            ("getChatMessagesSince(limit=100)", 5, newest)]


def run(ways, rounds, warm_up):
    """Medians in microseconds by (call, way)."""
    taken = {}
    calls = make_calls([0])
    for db in ways.values():
        measure(lambda db=db: calls[1][2](db), warm_up)
    for name, count, function in calls:
        for i in range(rounds + 1):
            for way, db in ways.items():
                gc.collect()
                micros = measure(lambda db=db: function(db), count)
                if i > 0:  # the first warms up
                    taken.setdefault((name, way), []).append(micros)
    return {key: statistics.median(values) for key, values in taken.items()}


def report(medians, ways):
    print(f"{'microseconds (median)':34}" + "".join(f"{way:>18}" for way in ways))
    for name in dict.fromkeys(name for name, _ in medians):
        base = medians[name, "sqlite3"]
        cells = "".join(f"{medians[name, way]:10.1f} {medians[name, way] / base:6.2f}x"
                        for way in ways)
        print(f"{name:34}{cells}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="chatstored; without it the socket is not measured")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=4000, help="messages saved before measuring")
    parser.add_argument("--folder", help="where to put the files; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = {way: os.path.join(folder, way + ".db") for way in ("sqlite3", "embedded", "socket")}
        for path in paths.values():
            fill(path)
        ways = {"sqlite3": Minimal(paths["sqlite3"]), "embedded": DatabaseWrapper(paths["embedded"])}
        server = None
        if options.server:
            server, url = start_server(options.server, folder, paths["socket"])
            ways["socket"] = DatabaseWrapper(url)
        try:
            report(run(ways, options.rounds, options.warm_up), ways)
        finally:
            for db in ways.values():
                db.close()
            if server is not None:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
