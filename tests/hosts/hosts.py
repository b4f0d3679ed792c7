#!/usr/bin/env python3
"""Bots on two hosts, a server and a standby on two others, and a network that fails in between (network.py).

    hosts.py BUILD [--only partition,moved-killed] [--group partitions] [--seconds 0] [--list]

For each scenario: a fresh server, two bots (bot.py; one over tcp, one over tls+tcp), the disturbance, and its
end. Then what is unknown has been asked for again, and must hold:

- every acknowledged write is there exactly once, the counters are those of the messages, a request_id that
  is repeated is answered as the first time, the file is sound (tests/crash/checker.h);
- every call has ended within its timeout and a second (or so much more as the machine let the bots wait),
  OK, UNAVAILABLE or DEADLINE_EXCEEDED;
- every writer has been answered again, soon after the end of the disturbance;
- the server's descriptors and threads are what they were before.

And each scenario shows that its disturbance was one; the one named "careless" shows that writes which are done
twice are found: its bots repeat them with other request_ids. --seconds: what all of them together may take, at
least; 0: each as short as it can be. Prints a line of figures for each. Ends with 77 where no such network
can be made."""

import argparse
import collections
import json
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from network import ADDRESSES, SERVICE, TO_BOTS, TO_SERVERS, Missing, Network  # noqa: E402
from served import Server, run, settle, usage_of  # noqa: E402

SKIPPED = 77
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk that others use would be what is measured
ALLOWED = ("OK", "UNAVAILABLE", "DEADLINE_EXCEEDED")
LATE_S_MAX, LATE_S_MAX_SHORT = 1.0, 5.0  # past its timeout; the second where other tests run beside this one
RESUME_S_MAX = 60.0  # after the end of a disturbance, however busy the machine is; figures have what was measured
CARELESS = "careless"
BOTS = ("bot1", "bot2")
PORTS = {"bot1": ("tcp", 7447), "bot2": ("tls+tcp", 7448)}
WRITERS = 6  # of a bot
NEW_ADDRESS = "10.213.77.21"
LIMITS = "idle_ms = 2000\nhandshake_ms = 1000\nreply_send_ms = 500\n"
IDLE_S = 2.0
SECONDS_MIN, AROUND_S = 1.5, 3.0  # of a disturbance; what comes before and after it


# ---- Judgements; gates.py proves that they can fail ----

def judge_calls(calls, late_s_max):
    """What is wrong with how these calls ended."""
    problems = []
    for call in calls:
        took = call["ended"] - call["began"]
        if call["status"] not in ALLOWED:
            problems.append(f"a call of {call['client']} ended with {call['status']}")
        if took > call["timeout"] + late_s_max:
            problems.append(f"a call of {call['client']} with {call['timeout']} s took {took:.2f} s")
    return problems


def resumed_s(calls, writers, healed):
    """Seconds from then until the last of these writers has been answered, by their clients; None: not all have."""
    first = {}
    for call in calls:
        if call["status"] == "OK" and call["ended"] > healed:
            first.setdefault(call["writer"], (call["client"], call["ended"] - healed))
    if not set(writers) <= set(first):
        return None
    resumed = {}
    for client, seconds in (first[writer] for writer in writers):
        resumed[client] = max(seconds, resumed.get(client, 0.0))
    return resumed


def ratio_problem(what, count, of, percent):
    """Whether that was about percent of them, as what is left to chance can be."""
    if of < 100 or not 0.4 * percent * of <= 100 * count <= 2.0 * percent * of + 500:
        return f"{what}: {count} of {of}, and not {percent}%"
    return None


def must(holds, what):
    if not holds:
        raise AssertionError(what)


# ---- One scenario's hosts and programs ----

class Stage:
    def __init__(self, network, build, tls):
        self.network, self.build, self.tls = network, build, tls
        self.chatstore = os.path.join(build, "stubs", "cli", "chatstore")
        self.folder = tempfile.mkdtemp(prefix="chatstore-hosts-", dir=MEMORY)
        self.journal, self.calls_path = os.path.join(self.folder, "journal"), os.path.join(self.folder, "calls")
        self.bots, self.writers, self.busy_s = {}, {}, 0.0
        self.writer_count = 0
        self.host, self.server = "server", None
        self.data = os.path.join(self.folder, self.host)
        for host in "server", "standby":
            os.mkdir(os.path.join(self.folder, host))
        self.make_file()
        self.start_server()
        self.before = self.usage_at_rest()

    def url(self, bot):
        scheme, port = PORTS[bot]
        return f"{scheme}://{SERVICE}:{port}"

    def call_lines(self, lines, *options, host=None):
        """The answers of `chatstore call --stdin`."""
        said = subprocess.run([*(self.network.enter(host) if host else []), self.chatstore, "call", "--stdin", *options],
                              input="\n".join(json.dumps(line) for line in lines), capture_output=True, text=True,
                              check=True, timeout=60)
        return [json.loads(line) for line in said.stdout.splitlines()]

    def make_file(self):
        """Its users are there before the messages that count for them."""
        answers = self.call_lines([{"method": "UpdateChatUser", "request": {
            "chat_id": -1, "user_id": user, "username": "someone", "full_name": "someone"}} for user in range(1, 4)],
                                  "--url", f"embedded:{self.data}/main.db")
        must(all(answer["status"] == "OK" for answer in answers), answers)

    def start_server(self):
        config = os.path.join(self.data, "hosts.toml")
        listen = [self.url(bot) for bot in BOTS]
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'[database]\ndefault = "main"\nsources = {{ main = {{ path = "main.db" }} }}\n'
                       f"[service]\nlisten = {json.dumps(listen)}\ninsecure-listen = true\n[service.limits]\n{LIMITS}"
                       f'[service.tls]\ncertificate = "{self.tls}/server.pem"\nkey = "{self.tls}/server.key"\n')
        self.server = Server(*self.network.enter(self.host)[:1], self.data, *self.network.enter(self.host)[1:],
                             os.path.join(self.build, "service", "chatstored"), "--config", config)

    def usage_at_rest(self):
        """Of the server that nobody is connected to, after it has opened what it opens once."""
        for bot in BOTS:
            self.call_lines([{"method": "Ping", "request": {}},
                             {"method": "GetChatUser", "request": {"chat_id": -1, "user_id": 1}}],
                            "--url", self.url(bot), *self.ca(bot), host=bot)
        while self.connections():
            time.sleep(0.02)
        return usage_of(self.server.pid)

    def ca(self, bot):
        return ["--ca", os.path.join(self.tls, "ca.pem")] if PORTS[bot][0] == "tls+tcp" else []

    def start_bot(self, bot, *options):
        environment = {**os.environ, "PYTHONPATH": os.path.join(self.build, "python")}
        with open(os.path.join(self.folder, f"{bot}.log"), "a", encoding="utf-8") as log:
            self.bots[bot] = subprocess.Popen(
                [*self.network.enter(bot), sys.executable, "-B", os.path.join(HERE, "bot.py"), str(self.writer_count),
                 self.url(bot), self.journal, self.calls_path, self.chatstore, *self.ca(bot), *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                start_new_session=True)
        self.writers[bot] = range(self.writer_count, self.writer_count + WRITERS)
        self.writer_count += WRITERS

    def kill_bot(self, bot):
        process = self.bots.pop(bot)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def stop_bots(self):
        for process in self.bots.values():
            process.stdin.close()
            process.stdin = None
        for bot, process in self.bots.items():
            said = process.communicate(timeout=90)[0]
            must(process.returncode == 0, f"{bot} ended with {process.returncode}: {self.log_of(bot)}")
            self.busy_s = max(self.busy_s, float(said))
        self.bots = {}

    def log_of(self, name):
        with open(os.path.join(self.folder, f"{name}.log"), encoding="utf-8") as log:
            return log.read()[-2000:]

    def calls(self, bot=None, since=0.0, until=float("inf")):
        """Those that ended in that time."""
        if not os.path.exists(self.calls_path):
            return []
        with open(self.calls_path, encoding="utf-8") as file:
            calls = [json.loads(line) for line in file if line.endswith("\n")]
        return [call for call in calls if since <= call["ended"] < until and
                (bot is None or call["writer"] in self.writers[bot])]

    def wait_answered(self, since, wait_s=RESUME_S_MAX):
        """Until every writer has been answered; seconds from then, by their clients."""
        until = time.monotonic() + wait_s
        writers = [writer for bot in self.bots for writer in self.writers[bot]]
        while True:
            resumed = resumed_s(self.calls(since=since), writers, since)
            if resumed is not None:
                return resumed
            ended = [bot for bot, process in self.bots.items() if process.poll() is not None]
            must(not ended, f"{ended} ended: {' '.join(map(self.log_of, ended))}")
            if time.monotonic() > until:
                answered = {call["writer"]: call["client"] for call in self.calls(since=since) if call["status"] == "OK"}
                stuck = {call["writer"]: call["client"] for call in self.calls() if call["writer"] in writers and
                         call["writer"] not in answered}
                raise AssertionError(f"not answered within {wait_s} s: {stuck}; {' '.join(map(self.log_of, self.bots))}")
            time.sleep(0.05)

    def connections(self):
        """How many the server has, by the address of the peer."""
        peers = collections.Counter()
        with open(f"/proc/{self.server.pid}/net/tcp", encoding="ascii") as file:
            for line in list(file)[1:]:
                local, peer, state = line.split()[1:4]
                if state == "01" and int(local.split(":")[1], 16) in (port for _, port in PORTS.values()):
                    peers[socket.inet_ntoa(struct.pack("=I", int(peer.split(":")[0], 16)))] += 1
        return peers

    def acknowledged(self):
        """The intents of the journal that have an acknowledgement, with the rows that it counted."""
        intents, acked = {}, []
        with open(self.journal, encoding="utf-8") as file:
            for line in file:
                word, op, *rest = line.rstrip("\n").split("\t")
                if word == "intent":
                    intents[op] = {"op": op, "kind": rest[0], "user": int(rest[3]), "day": int(rest[4]),
                                   "bytes": int(rest[5]), "id": rest[6]}
                elif word == "ack":
                    acked.append({**intents[op], "rows": int(rest[0])})
        return acked

    def take_over(self, kill):
        """The file and the address go to the standby, the first host is stopped properly, or is gone: then."""
        if kill:
            self.network.plug(self.host, False)
            must(os.path.getsize(os.path.join(self.data, "main.db-wal")) > 0, "nothing was in the write-ahead log")
            self.server.kill()
        else:
            self.server.close(is_busy=True)
            self.network.drop_service(self.host)
        gone = time.monotonic()
        old, self.host = self.data, "standby"
        self.data = os.path.join(self.folder, self.host)
        for name in os.listdir(old):
            if name.startswith("main.db"):
                shutil.move(os.path.join(old, name), os.path.join(self.data, name))
        self.network.take_service(self.host)
        self.start_server()
        return gone

    def run_checker(self):
        return run(os.path.join(self.build, "tests", "crash", "crash_check"), self.journal, f"main={self.data}/main.db")

    def check_file(self):
        said = self.run_checker()
        must(said.returncode == 0, said.stdout + said.stderr)
        return {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", said.stdout)}

    def close(self):
        for bot in list(self.bots):
            self.kill_bot(bot)
        if self.server:
            self.server.kill()
        if self.host == "standby":
            self.network.drop_service("standby")
            self.network.plug("server", True)
            if SERVICE not in self.network.on("server", "ip", "-4", "address", "show"):
                self.network.on("server", "ip", "address", "add", f"{SERVICE}/24", "dev", "eth0")
            self.network.announce("server")

    def remove(self):
        shutil.rmtree(self.folder)


# ---- The scenarios: each disturbs for so many seconds, ends it, proves it, and says what it was like ----

SCENARIOS = {}


def scenario(name, group):
    def put(play):
        SCENARIOS[name] = (group, play)
        return play
    return put


def must_fail(calls, cut_since):
    answered = [call for call in calls if call["status"] == "OK" and call["began"] > cut_since]
    must(not answered, f"answered over a line that is cut: {answered[:3]}")


def cut(stage, seconds, *which, arrives=False):
    """While nothing passes, nobody is answered."""
    with stage.network.dropping(*which):
        began = time.monotonic()
        arrived, trips = stage.network.probe("bot1")
        must(bool(arrived) == arrives and not trips, f"the line is not cut: {arrived} arrived, {len(trips)} came back")
        time.sleep(max(0, began + seconds - time.monotonic()))
        must_fail(stage.calls(since=began), began)
    return f"{stage.network.dropped} frames lost"


@scenario("partition", "partitions")
def partition(stage, seconds):
    return cut(stage, seconds, TO_SERVERS, TO_BOTS)


@scenario("requests-lost", "partitions")
def requests_lost(stage, seconds):
    return cut(stage, seconds, TO_SERVERS)


@scenario(CARELESS, "partitions")
@scenario("replies-lost", "partitions")
def replies_lost(stage, seconds):
    return cut(stage, seconds, TO_BOTS, arrives=True)


@scenario("one-bot-cut", "partitions")
def one_bot_cut(stage, seconds):
    """The other one goes on."""
    with stage.network.dropping('iifname "bot2"', 'oifname "bot2"'):
        began = time.monotonic()
        must(not stage.network.probe("bot2")[1], "the line is not cut")
        time.sleep(seconds)
        others = stage.calls("bot1", since=began)
        must_fail(stage.calls("bot2", since=began), began)
    must(resumed_s(others, stage.writers["bot1"], began) is not None, "the other bot is not answered either")
    return f"of {len(others)} calls of the other bot meanwhile {sum(call['status'] != 'OK' for call in others)} failed"


@scenario("flapping", "partitions")
def flapping(stage, seconds):
    began, cuts = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        with stage.network.dropping(TO_SERVERS, TO_BOTS):
            time.sleep(0.2)
        must(stage.network.dropped > 0, "nothing was dropped")
        cuts += 1
        time.sleep(0.2)
    return f"{cuts} cuts of 200 ms"


def lines_like(stage, began):
    """What calls were like since then."""
    calls = stage.calls(since=began)
    took = sorted(call["ended"] - call["began"] for call in calls if call["status"] == "OK")
    must(took, "no call was answered")
    return (f"{len(calls)} calls meanwhile, {100 * len(took) / len(calls):.1f}% OK, p50 {took[len(took) // 2] * 1000:.0f} ms, "
            f"p99 {took[len(took) * 99 // 100] * 1000:.0f} ms")


def loss(percent):
    def play(stage, seconds):
        began = time.monotonic()
        with stage.network.dropping(TO_SERVERS, TO_BOTS, percent=percent):
            stage.network.probe("bot1", count=200)
            time.sleep(max(0, began + seconds - time.monotonic()))
        dropped, seen = stage.network.dropped, stage.network.seen
        problem = ratio_problem("frames lost", dropped, seen, percent)
        must(not problem, problem)
        return f"{dropped} of {seen} frames lost; {lines_like(stage, began)}"
    return play


for percent in 1, 5, 20:
    scenario(f"loss-{percent}%", "lines")(loss(percent))


def delay(delay_ms, jitter_ms):
    """With frames that overtake others, come twice, are damaged (most of them, of the longest line)."""
    def play(stage, seconds):
        plain = stage.network.probe("bot1")[1]
        with stage.network.relayed(delay_ms=delay_ms, jitter_ms=jitter_ms, reorder=25, duplicate=5, corrupt=0.1):
            began = time.monotonic()
            trips = stage.network.probe("bot1", count=100, wait_s=2)[1]
            time.sleep(max(0, began + seconds - time.monotonic()))
            figures = lines_like(stage, began)
        counts = stage.network.relay_counts
        must(max(trips) >= 2 * (delay_ms - jitter_ms) / 1000, f"the line is not long: {max(trips)} s")
        for what, percent in (("reordered", 25), ("duplicated", 5)):
            problem = ratio_problem(what, counts[what], counts["frames"], percent)
            must(not problem, problem)
        return (f"round trip {statistics.median(plain) * 1000:.2f} -> {statistics.median(trips) * 1000:.0f} ms; of "
                f"{counts['frames']} frames {counts['reordered']} overtook, {counts['duplicated']} came twice, "
                f"{counts['corrupted']} were damaged; {figures}")
    return play


for delay_ms, jitter_ms in (5, 2), (50, 10), (200, 50):
    scenario(f"delay-{delay_ms}ms", "lines")(delay(delay_ms, jitter_ms))


@scenario("rate-1Mbit", "lines")
def rate(stage, seconds):
    began = time.monotonic()
    with stage.network.rate(1000):
        time.sleep(seconds)
        figures = lines_like(stage, began)
    network = stage.network
    kbit = network.rate_bytes * 8 / 1000 / network.rate_seconds
    must(network.rate_waited > 0 and kbit < 1200, f"the line is not slow: {kbit} kbit/s, {network.rate_waited} waited")
    return f"{kbit:.0f} kbit/s, {network.rate_waited} frames waited; {figures}"


@scenario("half-open", "moves")
def half_open(stage, seconds):
    """The bots' hosts are gone without a word: their connections are closed for silence."""
    had = stage.connections()
    must(len(had) == len(BOTS), f"connections: {had}")
    with stage.network.dropping(TO_SERVERS, TO_BOTS):
        gone = time.monotonic()
        for bot in BOTS:
            stage.kill_bot(bot)
        time.sleep(0.2)
        must(stage.connections(), "their end was noticed at once")
        settle(stage.server.pid, stage.before, "connections of hosts that are gone", wait_s=10 * IDLE_S)
        must(not stage.connections(), f"still {stage.connections()}")
        took = time.monotonic() - gone
        time.sleep(max(0, gone + seconds - time.monotonic()))
    for bot in BOTS:
        stage.start_bot(bot)
    return f"{had.total()} connections of hosts that were gone closed after {took:.1f} s (idle_ms = {IDLE_S * 1000:.0f})"


@scenario("address-changed", "moves")
def address_changed(stage, seconds):
    """A bot's host has another address, and its connections are of the old one."""
    old = ADDRESSES["bot1"]
    must(stage.connections()[old] > 0, "it has no connection")
    stage.network.change_address("bot1", old, NEW_ADDRESS)
    changed = time.monotonic()
    took = max(stage.wait_answered(changed, seconds + RESUME_S_MAX).values())
    must(stage.connections()[NEW_ADDRESS] > 0, f"no connection from the new address: {stage.connections()}")
    stage.network.change_address("bot1", NEW_ADDRESS, old)
    return f"all clients answered at the new address after {took:.1f} s"


def moved(stage, kill):
    acked = stage.acknowledged()
    gone = stage.take_over(kill)
    took = time.monotonic() - gone
    answered = max(stage.wait_answered(gone).values())
    # What was answered by the first server is answered in the same words by the second.
    from bot import C, is_by_c, request_of  # it imports the package of BUILD, which only main() knows
    # Another client may encode the same request in other bytes, which makes it another request.
    acked = [operation for operation in acked if is_by_c(operation["op"])]
    some = acked[:: max(1, len(acked) // 50)]
    answers = stage.call_lines([C.line(*request_of(operation), 10, operation["id"]) for operation in some],
                               "--url", stage.url("bot1"), host="bot1")
    for operation, answer in zip(some, answers, strict=True):
        must(answer["status"] == "OK" and int(answer["response"]["changedRows"]) == operation["rows"],
             f"{operation} was repeated at the standby: {answer}")
    return f"the standby was there after {took:.1f} s, all were answered after {answered:.1f} s; {len(some)} writes of before repeated there, answered as the first time"


@scenario("moved", "moves")
def moved_in_order(stage, _):
    return moved(stage, kill=False)


@scenario("moved-killed", "moves")
def moved_killed(stage, _):
    return moved(stage, kill=True)


# ---- Playing ----

def play_careless(stage, seconds):
    """The control: what the others must not find is found."""
    for bot in BOTS:
        stage.start_bot(bot, "--careless")
    stage.wait_answered(0.0)
    replies_lost(stage, seconds)
    stage.stop_bots()
    stage.server.close(is_busy=True)
    said = stage.run_checker().stdout
    found = re.search(r"violations (\d+)", said)
    must(found and "doubled: tokens that were counted once" in said, f"writes that were done twice are not found: {said}")
    print(f"FIGURES {CARELESS}, the control with another request_id for each try: {found[1]} violations found", flush=True)


def play(stage, name, seconds, late_s_max):
    began = time.monotonic()
    for bot in BOTS:
        stage.start_bot(bot)
    stage.wait_answered(began)
    time.sleep(0.3)
    disturbed = time.monotonic()
    control = SCENARIOS[name][1](stage, seconds)
    healed = time.monotonic()
    resumed = stage.wait_answered(healed)
    stage.stop_bots()
    after = settle(stage.server.pid, stage.before, name)
    stage.server.close(is_busy=True)
    calls = stage.calls()
    problems = judge_calls(calls, late_s_max + stage.busy_s)
    must(not problems, f"{len(problems)} calls ended badly: {'; '.join(problems[:5])}")
    figures = stage.check_file()
    said = ", ".join(f"{seconds:.1f} s ({client})" for client, seconds in sorted(resumed.items()))
    unanswered = sum(call["status"] != "OK" for call in calls)
    latest = max(call["ended"] - call["began"] - call["timeout"] for call in calls)
    print(f"FIGURES {name}, {healed - disturbed:.1f} s: {figures['acked']} acknowledged writes, {figures['repeats']} "
          f"repeated, 0 lost or doubled; {unanswered} of {len(calls)} calls failed, the latest {max(0, latest):.2f} s past "
          f"its time; answered again after {said}; descriptors {stage.before.files} -> {after.files}; {control}",
          flush=True)


def play_all(names, options):
    """How many missed what must hold."""
    missed = 0
    late_s_max = LATE_S_MAX if options.seconds > 0 else LATE_S_MAX_SHORT
    with tempfile.TemporaryDirectory(prefix="chatstore-hosts-tls-") as tls:
        run(os.path.join(options.build, "stubs", "cli", "chatstore"), "cert", "new", "--dir", tls, "--host", SERVICE,
            check=True)
        network = Network()
        try:
            for name in names:
                stage = Stage(network, options.build, tls)
                try:
                    seconds = max(SECONDS_MIN, options.seconds / len(names) - AROUND_S)
                    if name == CARELESS:
                        play_careless(stage, SECONDS_MIN)
                    else:
                        play(stage, name, seconds, late_s_max)
                    kept = False
                except AssertionError as error:
                    kept = True
                    missed += 1
                    print(f"MISSED: {name}: {error}\nkept: {stage.folder}", flush=True)
                finally:
                    stage.close()
                if not kept:
                    stage.remove()
        finally:
            network.close()
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--group", help="only those of partitions, lines or moves")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if options.group in (None, SCENARIOS[name][0])]
    if options.list:
        print("\n".join(f"{name:16} {SCENARIOS[name][0]}" for name in names))
        return 0
    sys.path.insert(0, os.path.join(options.build, "python"))  # for bot.py
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what was made is removed
    try:
        return 1 if play_all(names, options) else 0
    except Missing as error:
        print(f"SKIPPED: {error}")
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main())
