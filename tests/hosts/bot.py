#!/usr/bin/env python3
"""A bot: writers that write as long as standard input stays open, each through one of our clients (Python's
blocking one, Python's asyncio one, C's as `chatstore call --stdin`), two of each.

    bot.py FIRST URL JOURNAL CALLS CHATSTORE [--ca FILE] [--careless]

Writers are numbered from FIRST. What they mean to do and what they are told goes to JOURNAL, in the form of
tests/crash/journal.h; each call to CALLS, a line of JSON: when it began and ended (CLOCK_MONOTONIC), its
timeout, in seconds, the client, the writer, the status. What ended without an answer is asked for again
with the same request_id until it is answered, also after the end of standard input; that and then the end.
--careless: with another request_id, which is what nobody may do (and only writes that can be done twice).
Prints by how many seconds this process was late at most when it wanted to run (the machine is busy)."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time
import uuid
from datetime import datetime, timezone

sys.modules["chatstore._native"] = None  # the bots need no engine, and one that is instrumented cannot be loaded
import chatstore  # noqa: E402

WRITERS_PER_CLIENT = 2
WRITERS = 3 * WRITERS_PER_CLIENT
CHAT, USERS, DAYS = -1, 3, 3
TIMEOUTS_S = 0.3, 1.0, 3.0
PAUSE_S = 0.01  # between the writes of a writer
UNKNOWN = "UNAVAILABLE", "DEADLINE_EXCEEDED"
KEPT = 64  # acknowledged writes of which each writer may send one again
LAST_S_MAX = 60  # to get an answer for what is unknown at the end


# ---- The clients, each as a function of method, request, timeout in seconds, request_id ----

class Blocking:
    name = "python"

    def __init__(self, options):
        self.client = chatstore.SyncClient(options.url, ssl=context_of(options))

    def call(self, method, request, timeout_s, request_id):
        return outcome(lambda: self.client.call(method, request, timeout=timeout_s, request_id=request_id))

    def close(self):
        self.client.close()


class Async:
    name = "asyncio"

    def __init__(self, options):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = chatstore.Client(options.url, ssl=context_of(options))

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def call(self, method, request, timeout_s, request_id):
        return outcome(lambda: self.wait(self.client.call(method, request, timeout=timeout_s, request_id=request_id)))

    def close(self):
        self.wait(self.client.close())


class C:
    """Writes lines to the command line client, which makes one call after the other."""
    name = "c"

    def __init__(self, options):
        ca = ["--ca", options.ca] if options.ca else []
        self.lock = threading.Lock()
        self.process = subprocess.Popen([options.chatstore, "call", "--stdin", "--url", options.url, *ca],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def line(method, request, timeout_s, request_id):
        line = {"method": method, "request": {**request}, "timeout_ms": int(timeout_s * 1000)}
        if "date" in request:
            line["request"]["date"] = request["date"].strftime("%Y-%m-%dT%H:%M:%SZ")
        if request_id:
            line["request_id"] = request_id
        return line

    def call(self, method, request, timeout_s, request_id):
        self.process.stdin.write(json.dumps(self.line(method, request, timeout_s, request_id)) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        response = answer.get("response", {})
        return answer["status"], {"changed_rows": int(response.get("changedRows", 0)), "message": response.get("message")}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def context_of(options):
    return ssl.create_default_context(cafile=options.ca) if options.ca else None


def outcome(call):
    try:
        return "OK", call()
    except chatstore.ChatstoreError as error:
        return error.status, {}


# ---- What they do ----

def request_of(operation):
    """The method and request of an intent of the journal; times as datetime."""
    if operation["kind"] == "tokens":
        return "BatchUpdateTokens", {"updates": [{"token": operation["op"]}, {"token": "all"}]}
    return "SaveChatMessage", {
        "date": datetime(2024, 1, operation["day"], 1, tzinfo=timezone.utc), "chat_id": CHAT,
        "user_id": operation["user"], "message_id": operation["op"],
        "message_text": f"{operation['op']}:{'x' * operation['bytes']}"}


def is_by_c(op):
    """Whether this operation's writer uses the C client; they are the last of each bot's."""
    return int(op[1:].split("-")[0]) % WRITERS >= WRITERS - WRITERS_PER_CLIENT


class Writer:
    def __init__(self, bot, number, client):
        self.bot, self.number, self.client = bot, number, client
        self.count, self.kept, self.is_done = 0, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def call(self, method, request, timeout_s, request_id=None):
        began = time.monotonic()
        status, response = self.client.call(method, request, timeout_s, request_id)
        self.bot.note_call(began=began, ended=time.monotonic(), timeout=timeout_s, client=self.client.name,
                           writer=self.number, status=status)
        return status, response

    def write(self):
        is_tokens = self.bot.is_careless or random.random() < 0.2
        operation = {"op": f"w{self.number}-{self.count}", "kind": "tokens" if is_tokens else "save",
                     "user": random.randint(1, USERS), "day": random.randint(1, DAYS), "id": str(uuid.uuid4()),
                     "bytes": random.randrange(20000 if random.random() < 0.05 else 200)}
        self.count += 1
        self.bot.note("intent", operation["op"], operation["kind"], "main", CHAT, operation["user"], operation["day"],
                      operation["bytes"], operation["id"])
        method, request = request_of(operation)
        status = UNKNOWN[0]
        while status in UNKNOWN:
            request_id = str(uuid.uuid4()) if self.bot.is_careless else operation["id"]
            status, response = self.call(method, request, random.choice(TIMEOUTS_S), request_id)
            time.sleep(PAUSE_S)
        if status == "OK":
            self.bot.note("ack", operation["op"], response["changed_rows"])
            self.kept = self.kept[1 - KEPT:] + [operation]
        else:
            self.bot.note("refused", operation["op"], status)

    def repeat(self):
        """One that was acknowledged, with its request_id: the answer is the first one."""
        operation = random.choice(self.kept)
        status, response = self.call(*request_of(operation), random.choice(TIMEOUTS_S), operation["id"])
        if status not in UNKNOWN:
            self.bot.note("repeat", operation["op"], status, response.get("changed_rows", 0))

    def read(self):
        operation = random.choice(self.kept)
        if operation["kind"] == "save":
            status, response = self.call("GetChatMessageByMessageId", {"chat_id": CHAT, "message_id": operation["op"]},
                                         random.choice(TIMEOUTS_S))
            if status == "OK" and not response.get("message"):
                self.bot.note("missing", operation["op"])

    def run(self):
        while not self.bot.stops:
            self.write()
            dice = random.randrange(16) if self.kept and not self.bot.is_careless else 16
            if dice == 0:
                self.repeat()
            elif dice < 3:
                self.read()
        self.is_done = True


class Bot:
    def __init__(self, options):
        self.stops, self.late_s, self.is_careless = False, 0.0, options.careless
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.journal, self.calls = os.open(options.journal, flags, 0o666), os.open(options.calls, flags, 0o666)
        threading.Thread(target=self.watch, daemon=True).start()
        blocking, asynchronous = Blocking(options), Async(options)
        self.clients = [blocking, asynchronous] + [C(options) for _ in range(WRITERS_PER_CLIENT)]
        of_writers = [blocking, asynchronous] * WRITERS_PER_CLIENT + self.clients[2:]
        self.writers = [Writer(self, options.first + i, client) for i, client in enumerate(of_writers)]

    def note(self, *columns):
        os.write(self.journal, ("\t".join(str(column) for column in columns) + "\n").encode())

    def note_call(self, **what):
        os.write(self.calls, (json.dumps(what) + "\n").encode())

    def watch(self):
        while True:
            began = time.monotonic()
            time.sleep(0.02)
            self.late_s = max(self.late_s, time.monotonic() - began - 0.02)

    def finish(self):
        self.stops, until = True, time.monotonic() + LAST_S_MAX
        for writer in self.writers:
            writer.thread.join(max(0, until - time.monotonic()))
        stuck = [writer.number for writer in self.writers if not writer.is_done]
        if stuck:
            sys.exit(f"writers {stuck} have no answer after {LAST_S_MAX} s")
        for client in self.clients:
            client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    for name in "url", "journal", "calls", "chatstore":
        parser.add_argument(name)
    parser.add_argument("--ca")
    parser.add_argument("--careless", action="store_true")
    bot = Bot(parser.parse_args())
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    bot.finish()
    print(bot.late_s)


if __name__ == "__main__":
    main()
