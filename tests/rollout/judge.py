"""What the drill is judged by: the bots' journals against the file that is left. rollout/gates.py shows that
it finds what is wrong."""

import collections
import os
import sqlite3

from old_wrapper import VERSION

Journal = collections.namedtuple("Journal", "texts saved calls moves setting failures")


def read_journal(path):
    texts, saved, setting, failures, moves = {}, [], None, [], []
    calls = {"file": 0, "service": 0}
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for word, _, rest in (line.partition(" ") for line in lines):
        if word == "save":
            identity, _, text = rest.partition(" ")
            texts[identity] = text
        elif word == "saved":
            saved.append(rest)
        elif word == "is":
            setting = rest
        elif word == "moved":
            moves.append("file" if rest == "file" else "service")
        elif word == "FAILED":
            failures.append(rest)
        if word in ("saved", "is", "read"):
            calls[moves[-1]] += 1
    return Journal(texts, saved, calls, moves, setting, failures)


def schema_of(path):
    """All tables and indexes but SQLite's own, with their columns (which are what a bot knows of them)."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        names = file.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        return {(kind, name): file.execute(f"PRAGMA {kind}_info({name})").fetchall() for kind, name in names}


def judge_schema(before, after, version):
    problems = [f"{kind} {name} is left" for kind, name in after if name.startswith("chatstore_")]
    for key, columns in before.items():
        if key not in after:
            problems.append(f"{' '.join(key)} is gone")
        elif after[key][:len(columns)] != columns or (version == VERSION and after[key] != columns):
            problems.append(f"{' '.join(key)} has changed: {columns} -> {after[key]}")
    if version == VERSION:
        problems += [f"{' '.join(key)} was added" for key in after if key not in before]
    return problems


def judge_journals(journals):
    problems = []
    for number, journal in journals.items():
        problems += [f"bot {number}: {failure}" for failure in journal.failures]
        problems += [f"bot {number}: nobody answered whether {identity} is saved"
                     for identity in journal.texts if identity not in journal.saved]
        if journal.moves != ["file", "service", "file"]:
            problems.append(f"bot {number} moved {journal.moves}")
    return problems


def judge_rows(file, journals):
    problems = []
    texts = {identity: text for journal in journals.values() for identity, text in journal.texts.items()}
    found = dict(file.execute("SELECT message_id, message_text FROM chat_messages"))
    for identity in texts.keys() | found.keys():
        if found.get(identity) != texts.get(identity):
            problems.append(f"message {identity} is {found.get(identity)}, should be {texts.get(identity)}")
    for number, journal in journals.items():
        row = file.execute("SELECT value FROM settings WHERE key = ?", (f"bot-{number}",)).fetchone()
        if (row[0] if row else None) != journal.setting:
            problems.append(f"the setting of bot {number} is {row}, should be {journal.setting}")
    return problems


COUNTERS = {  # what they say, and what they should
    "chat_users": ("SELECT user_id, messages_count FROM chat_users",
                   "SELECT user_id, count(*) FROM chat_messages GROUP BY user_id"),
    "chat_stats": ("SELECT date, messages_count FROM chat_stats",
                   "SELECT date(date) || ' 00:00:00', count(*) FROM chat_messages GROUP BY 1"),
    "chat_user_stats": ("SELECT user_id, date, messages_count FROM chat_user_stats",
                        "SELECT user_id, date(date) || ' 00:00:00', count(*) FROM chat_messages GROUP BY 1, 2")}


def judge(journals, path, schema_before, version):
    """All that is wrong; nothing, as it should be."""
    problems = judge_journals(journals) + judge_schema(schema_before, schema_of(path), version)
    problems += [f"{path}{end} is left" for end in ("-wal", "-shm", "-journal") if os.path.exists(path + end)]
    file = sqlite3.connect(path)
    try:
        for pragma, good in (("journal_mode", ["delete"]), ("integrity_check", ["ok"]), ("foreign_key_check", [])):
            found = [row[0] for row in file.execute(f"PRAGMA {pragma}")]
            if found != good:
                problems.append(f"{pragma} says {found}")
        found = file.execute("SELECT value FROM settings WHERE key = 'db-migration-version'").fetchone()
        if found != (str(VERSION),):
            problems.append(f"the version is {found}")
        problems += judge_rows(file, journals)
        for table, (said, true) in COUNTERS.items():
            said, true = sorted(file.execute(said)), sorted(file.execute(true))
            if said != true:
                problems.append(f"the counters of {table} are {said}, should be {true}")
    finally:
        file.close()
    return problems
