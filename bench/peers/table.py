"""The results as a page: machine and versions, the targets, and the figures behind them."""

import os
import platform
import re
import subprocess
import time

from targets import TARGETS

PACKAGES = ["libsqlite3-0", "libprotobuf-c1", "libgrpc++1.51", "postgresql-15", "redis-server",
            "gcc"]


def output_of(*command):
    try:
        return subprocess.run(command, text=True, capture_output=True, check=False).stdout.strip()
    except OSError:
        return ""


def first_line(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return "?"
    return found.group(1).strip() if found else "?"


def facts(lab, rounds, seconds, load, begin):
    """What has to be known to read the figures."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    build = os.path.dirname(os.path.dirname(lab.bench))
    versions = [f"{name} {version}" for name in PACKAGES
                if (version := output_of("dpkg-query", "-W", "-f", "${Version}", name))]
    changed = output_of("git", "-C", source, "status", "--porcelain", "--untracked-files=no")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(begin)),
        "chatstore": (output_of("git", "-C", source, "rev-parse", "--short", "HEAD") or "?")
                     + (" with changes" if changed else "") + ", "
                     + first_line(os.path.join(build, "CMakeCache.txt"),
                                  r"^CMAKE_BUILD_TYPE:\w+=(.*)$"),
        "machine": f"{os.cpu_count()} x {first_line('/proc/cpuinfo', r'^model name.*?: (.*)$')}, "
                   f"{first_line('/proc/meminfo', r'^MemTotal: *(.*)$')}, "
                   f"Linux {platform.release()}, files on "
                   f"{output_of('stat', '-f', '-c', '%T', os.path.dirname(lab.folder)) or '?'}",
        "versions": ", ".join([f"nng {output_of(lab.peer('echo'), 'version') or '?'}", *versions]),
        "rounds": f"{rounds} rounds of {seconds:g} s for each measurement, in turn; medians. "
                  f"Load of the machine before: {load:.2f}",
    }


def row(number, figures, failures):
    what, check, names = TARGETS[number]
    try:
        checks, note = check(figures)
    except KeyError:
        missing = [name for name in names if name not in figures.results]
        reasons = "; ".join(f"{name}: {last_line(failures.get(name, 'not run'))}"
                            for name in missing)
        return f"| {number} | {what} | not measured | **no** | {reasons} |"
    measured = "; ".join(part.text() for part in checks)
    reached = "yes" if all(part.reached for part in checks) else "**no**"
    return f"| {number} | {what} | {measured} | {reached} | {note} |"


def last_line(text):
    return text.strip().splitlines()[-1].replace("|", "/")[:200]


def spread(figures, name, key):
    """Median, smallest and largest of the rounds."""
    values = figures.values(name, key)
    if not values:
        return ""
    return f"{figures.median(name, key):,.1f} ({min(values):,.1f} - {max(values):,.1f})"


def render(fact, figures, failures, numbers):
    lines = ["# Measured: chatstore beside its peers", "",
             "Made by `bench/compare`; do not edit.", "",
             *(f"- {key.capitalize()}: {value}" for key, value in fact.items()), "",
             "| # | what | measured (target) | reached | besides |", "|---|---|---|---|---|",
             *(row(number, figures, failures) for number in numbers), "",
             "Ratios are of medians; \"x\" means times the other's. The figures behind them, median "
             "(smallest - largest) of the rounds:", "",
             "| measurement | calls/s | p50 us | p99 us | client us CPU/call | server us CPU/call |",
             "|---|---|---|---|---|---|"]
    keys = ["calls_per_second", "p50_us", "p99_us", "client_cpu_us_per_call",
            "server_cpu_us_per_call"]
    for name in figures.results:
        cells = [spread(figures, name, key) for key in keys]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
