"""Four hosts of this machine: network namespaces, and between the bots and the servers a line that can be
cut, made lossy, slow or long.

    bot1, bot2 --- bridge "left" ===== the line ===== bridge "right" --- server, standby

Both bridges are in a namespace of their own, the switch. Frames are dropped there (nft), so that no host
knows; the kernels that we test on have no netem, so what delays them is relay.py."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ADDRESSES = {"bot1": "10.213.77.11", "bot2": "10.213.77.12", "server": "10.213.77.1", "standby": "10.213.77.2"}
SIDES = {"bot1": "left", "bot2": "left", "server": "right", "standby": "right"}
SERVICE = "10.213.77.10"  # goes to whichever host serves
ECHO_PORT = 7
CLONE_NEWNET = 0x40000000
RULES = """table bridge line {
    counter seen {}
    counter dropped {}
    chain cross { type filter hook forward priority 0; %s }
}"""
# Which frames go which way, seen on the bridge "right" (all of them) and on "left" (those of one bot).
TO_SERVERS, TO_BOTS = 'iifname "line-right"', 'oifname "line-right"'


class Missing(Exception):
    """What this machine lacks."""


def command(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout


class Network:
    """Until close(). Names of hosts are the keys of ADDRESSES, or "switch"."""

    def __init__(self):
        self.hosts = [*ADDRESSES, "switch"]
        self.relay = None
        self.echoes = 0  # datagrams that have come to the service's host
        if os.geteuid() != 0:
            raise Missing("only root can make network namespaces")
        for program, package in (("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")):
            if not shutil.which(program):
                raise Missing(f"there is no {program} (package {package})")
        try:
            for host in self.hosts:
                command("ip", "netns", "add", self.namespace(host))
            self._connect()
            self._rules("")
        except subprocess.CalledProcessError as error:
            self.close()
            raise Missing(f"no such network can be made here: {' '.join(error.cmd)}: {error.stderr.strip()}") from None
        self._echo = self.socket_on("server", socket.AF_INET, socket.SOCK_DGRAM)
        self._echo.bind((SERVICE, ECHO_PORT))
        threading.Thread(target=self._answer, daemon=True).start()

    @staticmethod
    def namespace(host):
        return f"chatstore-{os.getpid()}-{host}"

    def enter(self, host):
        """What to put in front of a command that is to run on this host."""
        # Not "ip netns exec", which wants to mount things, and cannot in a chroot.
        return ["nsenter", f"--net=/run/netns/{self.namespace(host)}"]

    def on(self, host, *words):
        return command(*self.enter(host), *words)

    def _connect(self):
        switch = self.namespace("switch")
        for bridge in "left", "right":
            self.on("switch", "ip", "link", "add", bridge, "type", "bridge")
            self.on("switch", "ip", "link", "set", bridge, "up")
        for host, address in ADDRESSES.items():
            command("ip", "link", "add", "eth0", "netns", self.namespace(host), "type", "veth", "peer", "name", host,
                    "netns", switch)
            self.on("switch", "ip", "link", "set", host, "master", SIDES[host], "up")
            self.on(host, "ip", "link", "set", "lo", "up")
            self.on(host, "ip", "link", "set", "eth0", "up")
            self.on(host, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.on("server", "ip", "address", "add", f"{SERVICE}/24", "dev", "eth0")
        self.on("switch", "ip", "link", "add", "line-left", "type", "veth", "peer", "name", "line-right")
        for end in "left", "right":
            self.on("switch", "ip", "link", "set", f"line-{end}", "master", end, "up")

    def close(self):
        if self.relay:
            self._end_relay()
        for host in self.hosts:
            with contextlib.suppress(subprocess.CalledProcessError):
                for pid in command("ip", "netns", "pids", self.namespace(host)).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), 9)
                command("ip", "netns", "delete", self.namespace(host))

    def socket_on(self, host, *arguments):
        """A socket of that host. Only a thread can change its namespace for itself alone."""
        made = []

        def make():
            with open(f"/run/netns/{self.namespace(host)}", "rb") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket(*arguments))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise OSError(f"no socket on {host}")
        return made[0]

    # ---- Dropping ----

    def _rules(self, rules):
        self.on("switch", "nft", "delete table bridge line; " * self._has_rules() + RULES % rules)

    def _has_rules(self):
        return "table bridge line" in self.on("switch", "nft", "list", "tables")

    @contextlib.contextmanager
    def dropping(self, *which, percent=100):
        """Of the frames that match one of these, that many in a hundred."""
        dice = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        self._rules(" ".join(f"{match} counter name seen; {match} {dice}counter name dropped drop;" for match in which))
        try:
            yield
        finally:
            self.dropped = self._count("dropped")
            self.seen = self._count("seen")
            self._rules("")

    def _count(self, name):
        listed = json.loads(self.on("switch", "nft", "-j", "list", "counter", "bridge", "line", name))
        return next(entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry)

    # ---- Slow and long lines ----

    @contextlib.contextmanager
    def rate(self, kbit):
        for end in "line-left", "line-right":
            self.on("switch", "tc", "qdisc", "add", "dev", end, "root", "tbf", "rate", f"{kbit}kbit", "burst", "8kb",
                    "latency", "500ms")
        began = time.monotonic()
        try:
            yield
        finally:
            self.rate_seconds = time.monotonic() - began
            self.rate_bytes, self.rate_waited = 0, 0
            for end in "line-left", "line-right":
                kind = json.loads(self.on("switch", "tc", "-s", "-j", "qdisc", "show", "dev", end))[0]
                self.rate_bytes = max(self.rate_bytes, kind["bytes"])
                self.rate_waited += kind["overlimits"]
                self.on("switch", "tc", "qdisc", "del", "dev", end, "root")

    @contextlib.contextmanager
    def relayed(self, **options):
        """The line is relay.py with these of its options, as in delay_ms=5."""
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        self.relay = subprocess.Popen([*self.enter("switch"), sys.executable, "-B", os.path.join(HERE, "relay.py"),
                                       "relay-left", "relay-right", *words],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != "ready\n":
            raise Missing("no relay can be made here (/dev/net/tun)")
        self.on("switch", "ip", "link", "set", "line-left", "down")
        for end in "left", "right":
            self.on("switch", "ip", "link", "set", f"relay-{end}", "master", end, "up")
        try:
            yield
        finally:
            self.relay_counts = json.loads(self._end_relay())
            self.on("switch", "ip", "link", "set", "line-left", "up")

    def _end_relay(self):
        said, self.relay = self.relay.communicate()[0], None
        return said

    # ---- Hosts ----

    def plug(self, host, is_in):
        self.on("switch", "ip", "link", "set", host, "up" if is_in else "down")

    def change_address(self, host, old, new):
        self.on(host, "ip", "address", "del", f"{old}/24", "dev", "eth0")
        self.on(host, "ip", "address", "add", f"{new}/24", "dev", "eth0")

    def take_service(self, host):
        """This host has the service's address from now on."""
        self.on(host, "ip", "address", "add", f"{SERVICE}/24", "dev", "eth0")
        self.announce(host)

    def announce(self, host):
        """Tell all that the service's address is this host's (gratuitous ARP)."""
        link = json.loads(self.on(host, "ip", "-j", "link", "show", "dev", "eth0"))[0]["address"]
        own, address = bytes.fromhex(link.replace(":", "")), socket.inet_aton(SERVICE)
        frame = (b"\xff" * 6 + own + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + own + address + bytes(6) +
                 address)
        with self.socket_on(host, socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(frame)

    def drop_service(self, host):
        self.on(host, "ip", "address", "del", f"{SERVICE}/24", "dev", "eth0")

    # ---- Probes: the control that what was asked for is so ----

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._echo.recvfrom(64)
                self.echoes += 1
                with contextlib.suppress(OSError):
                    self._echo.sendto(data, peer)

    def probe(self, host, count=20, gap_s=0.005, wait_s=0.3):
        """So many datagrams from host to the first server's host and back: how many arrived there, and the round
        trips of those that came back, in seconds."""
        sent, trips, before = [], {}, self.echoes
        with self.socket_on(host, socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(gap_s)
            probe.connect((SERVICE, ECHO_PORT))
            until = None
            while len(sent) < count or time.monotonic() < until:
                if len(sent) < count:
                    sent.append(time.monotonic())
                    until = sent[-1] + wait_s
                    with contextlib.suppress(OSError):  # no route, nobody there
                        probe.send(struct.pack(">I", len(sent) - 1))
                with contextlib.suppress(OSError):
                    number = struct.unpack(">I", probe.recv(64))[0]
                    trips.setdefault(number, time.monotonic() - sent[number])
        return self.echoes - before, list(trips.values())
