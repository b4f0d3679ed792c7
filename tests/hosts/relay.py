#!/usr/bin/env python3
"""A line that is long and bad: takes Ethernet frames from one TAP device and gives them to the other, later.

    relay.py LEFT RIGHT [--delay-ms 50] [--jitter-ms 10] [--reorder 25] [--duplicate 5] [--corrupt 0.1]

Each frame waits delay plus or minus up to jitter, on each of both ways. Per cent of the frames: those that
do not wait at all (and so overtake others), that come twice, that have one bit wrong. Makes the devices,
prints "ready", ends when its standard input does, and prints what it did as JSON."""

import argparse
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
FRAME_BYTES_MAX = 65536
HEADERS_BYTES = 54  # Ethernet, IP, TCP: with these wrong a frame does not even arrive
WAITING_MAX = 10000


def open_tap(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return file


class Relay:
    def __init__(self, options):
        self.options = options
        self.waiting = []  # (when, number, device that gets it, frame)
        self.counts = {"frames": 0, "reordered": 0, "duplicated": 0, "corrupted": 0, "overflowed": 0}

    def happens(self, what, percent):
        if random.uniform(0, 100) >= percent:
            return False
        self.counts[what] += 1
        return True

    def put(self, to, frame):
        options = self.options
        self.counts["frames"] += 1
        if len(frame) > HEADERS_BYTES and self.happens("corrupted", options.corrupt):
            at = random.randrange(HEADERS_BYTES, len(frame))
            frame = frame[:at] + bytes([frame[at] ^ 1 << random.randrange(8)]) + frame[at + 1:]
        for _ in range(2 if self.happens("duplicated", options.duplicate) else 1):
            wait_ms = options.delay_ms + random.uniform(-options.jitter_ms, options.jitter_ms)
            if self.happens("reordered", options.reorder):
                wait_ms = 0
            if len(self.waiting) < WAITING_MAX:
                heapq.heappush(self.waiting, (time.monotonic() + wait_ms / 1000, self.counts["frames"], to, frame))
            else:
                self.counts["overflowed"] += 1

    def deliver(self):
        """What is due; seconds until the next is."""
        while self.waiting:
            left = self.waiting[0][0] - time.monotonic()
            if left > 0:
                return left
            _, _, to, frame = heapq.heappop(self.waiting)
            try:
                os.write(to, frame)
            except OSError:
                self.counts["overflowed"] += 1
        return None

    def run(self, left, right):
        others = {left: right, right: left}
        while True:
            ready, _, _ = select.select([left, right, sys.stdin], [], [], self.deliver())
            if sys.stdin in ready:
                return
            for tap in ready:
                try:
                    self.put(others[tap], os.read(tap, FRAME_BYTES_MAX))
                except BlockingIOError:
                    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("left")
    parser.add_argument("right")
    for name in "delay-ms", "jitter-ms", "reorder", "duplicate", "corrupt":
        parser.add_argument(f"--{name}", type=float, default=0)
    options = parser.parse_args()
    relay = Relay(options)
    left, right = open_tap(options.left), open_tap(options.right)
    print("ready", flush=True)
    relay.run(left, right)
    print(json.dumps(relay.counts))


if __name__ == "__main__":
    main()
