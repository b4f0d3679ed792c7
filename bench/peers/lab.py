"""The servers that bench/compare measures, each in a folder of its own, and their clean end."""

import contextlib
import os
import pwd
import shutil
import subprocess
import time


class LabError(Exception):
    """Something that has to be there could not be made or started; the text says what."""


def run(*command, **options):
    """Run a command; its output, or LabError with what it said."""
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False, **options)
    except OSError as error:
        raise LabError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n"
                       f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Process:
    """A server in the background, with its log in a file. LabError if it does not come up."""

    def __init__(self, command, log, ready, wait_s=60):
        self.command = list(map(str, command))
        with open(log, "w", encoding="utf-8") as out:
            try:
                self.process = subprocess.Popen(self.command, stdout=out, stderr=out,
                                                stdin=subprocess.DEVNULL)
            except OSError as error:
                raise LabError(f"{self.command[0]}: {error.strerror}; was it built?") from error
        until = time.monotonic() + wait_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                with open(log, encoding="utf-8", errors="replace") as file:
                    raise LabError(f"{' '.join(self.command)} does not come up:\n"
                                   f"{file.read()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Lab:
    """Where the programs are, the folder to work in, and what has been started there."""

    def __init__(self, build, folder):
        self.bench = os.path.join(build, "bench", "chatstore-bench")
        self.chatstored = os.path.join(build, "service", "chatstored")
        self.peers = os.path.join(build, "bench", "peers")
        self.folder = folder
        self.cleanup = contextlib.ExitStack()

    def close(self):
        self.cleanup.close()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def peer(self, name):
        return os.path.join(self.peers, name)

    def make_data(self, name, **numbers):
        """The folder of new data; numbers are options of `chatstore-bench data`."""
        options = []
        for key, value in numbers.items():
            flag = "--" + key.replace("_", "-")
            options += [flag] if value is True else [flag, str(value)]
        run(self.bench, "data", "--dir", self.path(name), *options)
        return self.path(name)

    def background(self, name, command):
        """Start a server that will listen on the unix socket NAME.socket; the socket's path."""
        socket = self.path(name + ".socket")
        command = [part.replace("SOCKET", socket) for part in command]
        process = Process(command, self.path(name + ".log"), lambda: os.path.exists(socket))
        self.cleanup.callback(process.stop)
        return socket

    def start_chatstored(self, name):
        """chatstored on the data of that name; its URL."""
        return "ipc://" + self.background(name, self.chatstored_command(name))

    def chatstored_command(self, name):
        return [self.chatstored, "--config", self.path(name, "chatstore.toml"), "--listen",
                "ipc://SOCKET", "--log-level", "warn"]

    @contextlib.contextmanager
    def chatstored_for_now(self, name):
        """The same, but only for the body."""
        socket = self.path(name + ".socket")
        command = [part.replace("SOCKET", socket) for part in self.chatstored_command(name)]
        process = Process(command, self.path(name + ".log"), lambda: os.path.exists(socket))
        try:
            yield "ipc://" + socket
        finally:
            process.stop()

    def start_postgres(self):
        """A cluster of its own, as the user postgres when we are root; a connection string and the
        number of the process whose children serve."""
        folder = self.path("postgres")
        os.mkdir(folder)
        as_user = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            os.chmod(self.folder, 0o755)
            as_user = ["runuser", "-u", "postgres", "--"]
        programs = postgres_programs()
        data = os.path.join(folder, "data")
        run(*as_user, os.path.join(programs, "initdb"), "-D", data, "-A", "trust", cwd="/")
        settings = {"listen_addresses": "", "unix_socket_directories": folder,
                    "max_connections": "200", "shared_buffers": "256MB", "fsync": "on",
                    "synchronous_commit": "on", "max_wal_size": "4GB"}
        command = [*as_user, os.path.join(programs, "postgres"), "-D", data]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        url = f"host={folder} user=postgres dbname=postgres"
        process = Process(command, self.path("postgres.log"), lambda: answers(programs, folder))
        self.cleanup.callback(process.stop)
        with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as file:
            return url, file.readline().strip()


def postgres_programs():
    base = "/usr/lib/postgresql"
    versions = sorted(os.listdir(base), key=float) if os.path.isdir(base) else []
    if not versions:
        raise LabError("PostgreSQL is not installed (package postgresql)")
    return os.path.join(base, versions[-1], "bin")


def answers(programs, folder):
    return subprocess.run([os.path.join(programs, "pg_isready"), "-q", "-h", folder],
                          check=False).returncode == 0


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
