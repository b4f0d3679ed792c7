#!/usr/bin/env python3
"""Ten times as many calls as the server can answer.

    overload.py BUILD [--short] [--load save] [--seconds 8] [--in-flight-max 256] [--clients 3] [--no-join]

First its capacity: the best goodput of closed loops with more and more calls in flight, over several
clients. Then ten times that, by clients that do not wait for answers (chatstore-bench --rate), in frames as
the stubs join them (--no-join: a frame for each call). Server and clients have CPUs of their own where there
are two; with many more clients than CPUs for them, it is their waiting for each other that is measured. Prints the figures, and ends with 1 if one is missed:

  goodput    at least 90 % of the capacity
  refusals   are told: p99 within 5 times the p99 at capacity
  memory     at most twice what it was and 64 MiB
  the rest   nothing fails but by RESOURCE_EXHAUSTED; descriptors and threads go back

Reads of a few rows run on the thread that receives them and are cheaper to answer than to refuse: what is
too much waits in the clients. So of --load mix and point goodput, memory and the rest are judged.

--short looks at no speed: that calls are refused, others answered, and the last two lines."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from served import Server, run, settle, usage_of  # noqa: E402

GOODPUT_MIN, REFUSAL_FACTOR_MAX, MEMORY_FACTOR_MAX, MEMORY_MORE_KIB_MAX = 0.9, 5, 2, 64 << 10
TIMES = 10


class Lab:
    def __init__(self, options):
        self.options = options
        self.framing = ["--no-join"] if options.no_join else []
        self.bench = os.path.join(options.build, "bench", "chatstore-bench")
        self.folder = tempfile.mkdtemp(prefix="chatstore-overload-")
        run(self.bench, "data", "--dir", self.folder, "--chats", "10", "--messages", "1000", check=True, timeout=120)
        with open(os.path.join(self.folder, "overload.toml"), "w", encoding="utf-8") as file:
            file.write('[database]\npath = "source-0000.db"\n[service]\n'
                       f'listen = ["ipc://{self.folder}/socket"]\n[service.limits]\n'
                       f"calls_in_flight_max = {options.in_flight_max}\n")
        self.server = Server(os.path.join(options.build, "service", "chatstored"), self.folder,
                             "--config", os.path.join(self.folder, "overload.toml"))
        cpus = sorted(os.sched_getaffinity(0))
        self.client_cpus = set(cpus[1:]) or set(cpus)
        if len(cpus) > 1:
            for task in os.listdir(f"/proc/{self.server.pid}/task"):
                os.sched_setaffinity(int(task), {cpus[0]})

    def play(self, clients, *arguments):
        """One run of each client at the same time; what they say."""
        command = [self.bench, self.options.load, "--url", f"ipc://{self.folder}/socket", "--chats", "10", "--json",
                   "--seconds", str(self.options.seconds), "--warm-up", "0.5", "--limit", "100", *self.framing, *map(str, arguments)]
        running = [subprocess.Popen([*command, "--seed", str(number + 1)], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                    preexec_fn=lambda: os.sched_setaffinity(0, self.client_cpus))
                   for number in range(clients)]
        return [json.loads(client.communicate(timeout=180)[0]) for client in running]

    def close(self):
        self.server.kill()
        shutil.rmtree(self.folder)


def capacity(lab, steps):
    """The best goodput, and the p99 there in microseconds."""
    best = (0, 0)
    for in_flight in steps:
        results = lab.play(lab.options.clients, "--in-flight", max(1, in_flight // lab.options.clients))
        goodput = sum(result["calls_per_second"] for result in results)
        best = max(best, (goodput, max(result["p99_us"] for result in results)))
    return best


def judge(figures, short=False, waits=False):
    """What is missed, in words. waits: what is too much is not refused."""
    missed = []
    if figures["refused"] == 0 and not waits:
        missed.append("nothing was refused")
    if figures["goodput"] == 0:
        missed.append("nothing was answered")
    if figures["errors"] > figures["refused"]:
        missed.append(f"{figures['errors'] - figures['refused']} calls failed otherwise than by RESOURCE_EXHAUSTED")
    if figures["rss_kib"] > MEMORY_FACTOR_MAX * figures["rss_before_kib"] + MEMORY_MORE_KIB_MAX:
        missed.append(f"memory grew from {figures['rss_before_kib'] >> 10} to {figures['rss_kib'] >> 10} MiB")
    if not short and figures["goodput"] < GOODPUT_MIN * figures["capacity"]:
        missed.append(f"goodput is {figures['goodput'] / figures['capacity']:.0%} of the capacity")
    if not short and not waits and figures["refused_p99_us"] > REFUSAL_FACTOR_MAX * figures["p99_us"]:
        missed.append(f"refusals take {figures['refused_p99_us'] / figures['p99_us']:.1f} times the p99 at capacity")
    return missed


def measure(lab):
    options = lab.options
    limit = options.in_flight_max
    best, p99_us = capacity(lab, [limit // 2] if options.short else [limit // 8, limit // 4, limit // 2, limit])
    before = usage_of(lab.server.pid)
    rate = TIMES * best / options.clients
    results = lab.play(options.clients, "--rate", f"{rate:.0f}", "--in-flight", 4 * limit)
    during = max(result["server_rss_bytes"] >> 10 for result in results)
    settle(lab.server.pid, before, "after the overload")
    return {"capacity": best, "p99_us": p99_us, "offered": sum(
        (result["calls"] + result["errors"]) / result["seconds"] for result in results),
        "goodput": sum(result["calls_per_second"] for result in results),
        "refused": sum(result["refused"] for result in results), "errors": sum(result["errors"] for result in results),
        "refused_p99_us": max(result["refused_p99_us"] for result in results),
        "rss_before_kib": before.rss_kib, "rss_kib": during}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--load", default="save")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--in-flight-max", type=int, default=256)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--no-join", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.seconds, options.in_flight_max, options.clients, options.no_join = 1, 8, 2, True
    lab = Lab(options)
    try:
        figures = measure(lab)
        missed = judge(figures, options.short, waits=options.load != "save")
        lab.server.close(is_busy=True)
    finally:
        lab.close()
    print(f"FIGURES overload, {options.load}{' '.join(['', *lab.framing])}: capacity {figures['capacity']:.0f}/s (p99 {figures['p99_us'] / 1000:.1f} "
          f"ms); {figures['offered']:.0f}/s offered: goodput {figures['goodput']:.0f}/s "
          f"({figures['goodput'] / max(1, figures['capacity']):.0%}), {figures['refused']} refused (p99 "
          f"{figures['refused_p99_us'] / 1000:.1f} ms), {figures['rss_before_kib'] >> 10} -> "
          f"{figures['rss_kib'] >> 10} MiB")
    for line in missed:
        print(f"MISSED: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
