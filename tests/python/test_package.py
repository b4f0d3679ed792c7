"""The package as a whole: what importing it does, its types, its wheel, the vectors' freshness."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import unittest
import zipfile

import support

PACKAGE = os.path.join(support.BINARY_DIR, "python", "chatstore")
STUBS = os.path.join(support.SOURCE_DIR, "stubs", "python")


def run(*command, **options):
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)


class Import(unittest.TestCase):
    def test_no_threads(self):
        code = ("import os, chatstore, chatstore.wrapper, chatstore.bayes, sys;"
                "print(len(os.listdir('/proc/self/task')), 'google.protobuf' in sys.modules)")
        result = run(sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": sys.path[0] + ":" +
                                                      os.path.dirname(PACKAGE)})
        self.assertEqual(result.stdout.split(), ["1", "False"], result.stderr)

    def test_without_the_compiled_part(self):
        """A copy of the package as a pure wheel has it: no engine, and the codec in Python."""
        code = ("import chatstore, chatstore.codec as c; from chatstore.wrapper import DatabaseWrapper;"
                "assert c.native is None and c.Encoder is c.PureEncoder\n"
                "try: DatabaseWrapper('x.db')\n"
                "except chatstore.Internal as error: print(error)")
        with support.tempfile.TemporaryDirectory() as folder:
            shutil.copytree(PACKAGE, os.path.join(folder, "chatstore"),
                            ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            result = run(sys.executable, "-B", "-c", code, env={**os.environ, "PYTHONPATH": folder})
        self.assertIn("no chatstore._native", result.stdout, result.stderr)


class Types(unittest.TestCase):
    def test_mypy(self):
        if importlib.util.find_spec("mypy") is None:
            self.skipTest("mypy is not installed")
        with support.tempfile.TemporaryDirectory() as folder:
            user = os.path.join(folder, "user.py")
            with open(user, "w", encoding="utf-8") as file:
                file.write(
                    "import chatstore\n"
                    "from chatstore.calls import ChatUser\n"
                    "def f(client: chatstore.SyncClient) -> str:\n"
                    "    user: ChatUser | None = client.get_chat_user(chat_id=1, user_id=2)\n"
                    "    return user['full_name'] if user else ''\n"
                    "async def g(client: chatstore.Client) -> int:\n"
                    "    return await client.set_setting(key='k', value=None)\n")
            result = run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder, PACKAGE,
                         user, cwd=os.path.dirname(PACKAGE),
                         env={**os.environ, "MYPYPATH": os.path.dirname(PACKAGE)})
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            with open(user, "a", encoding="utf-8") as file:
                file.write("def h(client: chatstore.SyncClient) -> None:\n"
                           "    client.get_chat_user(chat_id='1')\n")
            result = run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder, user,
                         env={**os.environ, "MYPYPATH": os.path.dirname(PACKAGE)})
            self.assertNotEqual(result.returncode, 0, "a wrong call passes the type checker")


class Readme(support.FolderCase):
    def test_programs(self):
        """Each block of Python in the README is a program that works."""
        server = support.Server(self.folder, "--db", self.path("server.db"))
        self.addCleanup(server.stop)
        with open(os.path.join(STUBS, "README.md"), encoding="utf-8") as file:
            programs = re.findall(r"^```python\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
        said = []
        for program in programs:
            result = run(sys.executable, "-B", "-c", program, cwd=self.folder, env={
                **os.environ, "CHATSTORE_URL": server.url, "PYTHONPATH": os.path.dirname(PACKAGE)})
            self.assertEqual((result.returncode, result.stderr), (0, ""), program)
            said.append(result.stdout.splitlines())
        self.assertEqual(said[0], ["Ann hi"])
        self.assertEqual((said[1][0], said[1][2]), ("Ann", "1 users, 0 chats"))
        self.assertIn("chat_id", said[1][1])
        self.assertEqual(len(said), 2)


class Wheel(unittest.TestCase):
    def test_contents(self):
        """The wheel that pip would install, of what this build made; it works where it lies."""
        with support.tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "chatstore.whl")
            code = ("import chatstore_build as b;"
                    f"b.write_wheel({path!r}, b.package_files({PACKAGE!r}))")
            result = run(sys.executable, "-B", "-c", code, cwd=STUBS)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.check_wheel(path)
            site = os.path.join(folder, "site")
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(site)
            code = ("import chatstore, importlib.metadata as m;"
                    "from chatstore.wrapper import DatabaseWrapper as D; d = D(':memory:');"
                    "print(d.setSetting('k', 'v'), d.getSetting('k'), chatstore.__version__ ==\n"
                    "m.version('chatstore')); d.close()")
            result = run(sys.executable, "-B", "-c", code, cwd=folder,
                         env={**os.environ, "PYTHONPATH": site})
            self.assertEqual(result.stdout.split(), ["True", "v", "True"], result.stderr)

    def check_wheel(self, path):
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            record = wheel.read(next(n for n in names if n.endswith("/RECORD"))).decode()
        self.assertEqual(sorted(line.split(",")[0] for line in record.splitlines()), sorted(names))
        for name in ("calls.py", "descriptor_set.pb", "py.typed", "wrapper.py"):
            self.assertIn(f"chatstore/{name}", names)
        self.assertTrue(any(name.startswith("chatstore/_native.") for name in names), names)


class Fresh(unittest.TestCase):
    def test_vectors(self):
        make = os.path.join(support.SOURCE_DIR, "tests", "vectors", "make.py")
        made = os.path.join(support.BINARY_DIR, "generated", "set.pb")
        if importlib.util.find_spec("google.protobuf") is None:
            self.skipTest("there is no protobuf library")
        result = run(sys.executable, "-B", make, "--set", made, "--check")
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
