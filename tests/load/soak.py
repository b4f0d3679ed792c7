#!/usr/bin/env python3
"""Mixed load for a while, with reloads, checkpoints, and clients that come, go and are killed, while memory,
descriptors and threads are written down.

    soak.py BUILD [--seconds 8] [--out FOLDER] [--ignore-memory]

Ends with 1 if the memory of the last third is more than a bound above that of the middle third, or the
write-ahead log outgrows its bound, or descriptors and threads do not go back to what they were. With --out
it leaves soak.csv there and, where gnuplot is, soak.svg."""

import argparse
import csv
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "bench", "peers")]
from plot import draw  # noqa: E402
from served import Peer, Server, Witness, frame_of, run, settle, usage_of  # noqa: E402

GROWTH_KIB_MAX, GROWTH_SHARE_MAX = 4 << 10, 0.05
WAL_BYTES_MAX = 64 << 20
COLUMNS = ("seconds", "rss_kib", "files", "threads", "wal_bytes")


def growth_problem(samples):
    """Why the memory of these samples is not flat; None: it is."""
    third = len(samples) // 3
    middle, last = (statistics.mean(sample[1] for sample in part)
                    for part in (samples[third:2 * third], samples[2 * third:]))
    bound = middle * (1 + GROWTH_SHARE_MAX) + GROWTH_KIB_MAX
    return None if last <= bound else f"memory grows: {middle:.0f} KiB in the middle third, {last:.0f} in the last"


class Soak:
    def __init__(self, options):
        self.folder = tempfile.mkdtemp(prefix="chatstore-soak-")
        self.bench = os.path.join(options.build, "bench", "chatstore-bench")
        self.config = os.path.join(self.folder, "soak.toml")
        self.address = os.path.join(self.folder, "socket")
        run(self.bench, "data", "--dir", self.folder, "--sources", "2", "--chats", "10", "--users", "10",
            check=True, timeout=120)
        self.reloads = self.peers = 0
        self.write_config()
        self.server = Server(os.path.join(options.build, "service", "chatstored"), self.folder, "--config",
                             self.config)
        self.load(0.5).wait()  # what is opened once
        self.load(0.5, "scan").wait()
        time.sleep(0.5)
        self.before = usage_of(self.server.pid)

    def write_config(self):
        """With one source more each second time. What scans read stays as it is: else their answers, and the
        memory for them, would grow with all that is saved meanwhile."""
        more = 'other = { path = "other.db" }\n' if self.reloads % 2 else ""
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write('[database]\ndefault = "main"\n[database.sources]\nmain = { path = "source-0000.db", '
                       'pool-size = 3 }\narchive = { path = "source-0001.db", readonly = true, pool-size = 3 }\n'
                       f'{more}[service]\nlisten = ["ipc://{self.address}"]\n')
        os.rename(self.config + ".new", self.config)

    def load(self, seconds, name="mix"):
        which = ("--data-source", "archive", "--chat", "10") if name == "scan" else ("--chats", "10", "--users", "10")
        return subprocess.Popen([self.bench, name, "--url", f"ipc://{self.address}", *which, "--in-flight", "16",
                                 "--seconds", str(seconds), "--warm-up", "0", "--json"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def sample(self, began):
        usage = usage_of(self.server.pid)
        wal = os.path.join(self.folder, "source-0000.db-wal")
        return (round(time.monotonic() - began, 2), *usage, os.path.getsize(wal) if os.path.exists(wal) else 0)

    def disturb(self):
        """A reload, a client that is killed, and some that come and go."""
        self.reloads += 1
        self.write_config()
        self.server.process.send_signal(1)
        with self.load(60, random.choice(("mix", "scan", "save"))) as client:
            time.sleep(random.uniform(0.05, 0.2))
            client.kill()
        for number in range(10):
            peer = Peer(self.address)
            peer.send(frame_of("ChatService/GetAllGroupChats", count=1 + number))
            peer.close()
            self.peers += 1

    def play(self, seconds):
        began, samples, next_disturbance = time.monotonic(), [], 0.0
        witness = Witness(self.address)
        load = self.load(seconds)
        while load.poll() is None:
            if time.monotonic() - began >= next_disturbance:
                self.disturb()
                next_disturbance += max(0.5, min(5.0, seconds / 20))
            samples.append(self.sample(began))
            time.sleep(max(0.05, min(1.0, seconds / 100)))
        said = load.communicate()[0]
        return samples, said, witness.check("soak")

    def close(self):
        self.server.kill()
        shutil.rmtree(self.folder)


def write_down(folder, samples):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "soak.csv"), "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *samples])
    if shutil.which("gnuplot"):
        draw(folder, "svg", "soak", "mixed load with reloads and killed clients", "MiB", """set xlabel "seconds"
set y2tics
set yrange [0:*]
set y2range [0:*]
set y2label "number"
plot $data using 1:2 with lines title "memory", "" using 1:5 with lines title "write-ahead log", \\
     "" using 1:3 axes x1y2 with lines title "descriptors", "" using 1:4 axes x1y2 with lines title "threads"
""", [(at, rss / 1024, files, threads, wal / (1 << 20)) for at, rss, files, threads, wal in samples])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--out")
    parser.add_argument("--ignore-memory", action="store_true", help="for sanitizers, which keep what is freed")
    options = parser.parse_args()
    soak = Soak(options)
    try:
        samples, said, served = soak.play(options.seconds)
        after = settle(soak.server.pid, soak.before, "after the soak")
        problem = None if options.ignore_memory else growth_problem(samples)
        wal = max(sample[4] for sample in samples)
        soak.server.close(is_busy=True)
    finally:
        soak.close()
    if options.out:
        write_down(options.out, samples)
    print(f"FIGURES soak of {options.seconds:.0f} s: {said.split('calls_per_second')[1][3:].split(',')[0]} calls/s, "
          f"{soak.reloads} reloads, {soak.reloads} clients killed, {soak.peers} came and went; memory "
          f"{samples[0][1] >> 10} -> {samples[-1][1] >> 10} MiB, descriptors {soak.before.files} -> {after.files}, "
          f"threads {soak.before.threads} -> {after.threads}, write-ahead log up to {wal >> 10} KiB; {served}")
    if wal > WAL_BYTES_MAX:
        problem = problem or f"the write-ahead log has {wal} bytes"
    if '"errors": 0' not in said:
        problem = problem or f"calls failed: {said}"
    if problem:
        print(f"MISSED: {problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
