#!/usr/bin/env python3
"""Holds the documents against the tree.

    check_docs.py --programs FOLDER DOCUMENT...   what the documents name must exist
    check_docs.py --run --programs FOLDER DOCUMENT...
                                                  and their commands marked "sh run" must work
    check_docs.py --self-test                     against tests/readme/bad.md: every line there that
                                                  says "wrong: RULE" must be reported, nothing else

FOLDER (several with ":" between them) has chatstored and chatstore. Prints FILE:LINE: RULE: what; ends
with 0 if there is nothing to report, else with 1. The rules:

  link      a link to a file of the tree
  path      `a/path/of/the/tree` in a text, and the script of a command "bash a/path"
  function  `name` (`file`): the file has a function of that name
  option    an --option behind chatstored, chatstore or a script in a command: its --help names it
  limit     `something_bytes`, `_ms` or `_max`: docs/configuration.md has a row for it
  quoted    in a heading of troubleshooting.md, the text that a program prints, <word> for what varies
  command   a block "sh run", run in a folder with a bot.db; the block "text output" behind it is in
            what it prints, "..." for what varies
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = "proto service router pool stubs tests bench docs examples packaging".split()
COMMAND_SECONDS_MAX = 60
SAMPLE = [
    ("UpdateChatInfo", {"chat_id": -1001, "type": "group", "title": "Tea house"}),
    ("UpdateChatUser", {"chat_id": -1001, "user_id": 7, "username": "@ada", "full_name": "Ada"}),
    ("SaveChatMessage", {"chat_id": -1001, "user_id": 7, "message_id": "1", "message_text": "Tea?",
                         "date": "2024-05-01T12:00:00Z"}),
]


class Document:
    """A document's lines, and which of them are in a block, of which kind."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.lines = file.read().splitlines()
        self.blocks = []  # (kind, first line number, lines)
        self.prose = []  # (number, line)
        kind = None
        for number, line in enumerate(self.lines, 1):
            if line.startswith("```"):
                if kind is None:
                    kind = line[3:].strip()
                    self.blocks.append((kind, number + 1, []))
                else:
                    kind = None
            elif kind is None:
                self.prose.append((number, line))
            else:
                self.blocks[-1][2].append(line)

    def code_spans(self):
        for number, line in self.prose:
            for span in re.findall(r"`([^`]+)`", line):
                yield number, span


def check_links(document, _programs):
    for number, line in document.prose:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            path = os.path.join(ROOT, os.path.dirname(document.path), target)
            if not os.path.exists(path):
                yield number, "link", f"there is no {target}"


def check_paths(document, _programs):
    spans = list(document.code_spans())
    for kind, first, lines in document.blocks:
        if kind.startswith("sh"):
            for number, line in enumerate(lines, first):
                spans += [(number, path) for path in re.findall(r"(?:bash |\./)([\w./-]+)", line)]
    for number, span in spans:
        room = span.split("/")[0]
        if "/" not in span or room not in ROOMS or re.search(r"[\s<>]|[A-Z]{3}", span):
            continue
        if not glob.glob(os.path.join(ROOT, span)):
            yield number, "path", f"there is no {span}"


def named_functions(document):
    """(line number, name, file) of every `name` (`file`)."""
    text = "\n".join(line for _, line in document.prose)
    numbers = [number for number, _ in document.prose]
    for match in re.finditer(r"`([a-z_0-9]+)`(?:,\s|\s\()`((?:\w+/)+[\w.]+\.c)`", text):
        yield (numbers[text.count("\n", 0, match.start())], *match.groups())


def check_functions(document, _programs):
    for number, name, path in named_functions(document):
        try:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                code = file.read()
        except OSError:
            continue  # check_paths says so
        if not re.search(rf"^[\w *]*\b{name}\([^;]*?\)\n{{", code, re.MULTILINE):
            yield number, "function", f"{path} has no function {name}"


def help_of(programs, command):
    if command in ("chatstored", "chatstore"):
        words = [shutil.which(command, path=programs)]
    else:
        words = ["bash", os.path.join(ROOT, command)]
    return subprocess.run(words + ["--help"], capture_output=True, text=True, check=False,
                          timeout=COMMAND_SECONDS_MAX).stdout


def check_options(document, programs):
    lines = list(document.code_spans())
    for kind, first, block in document.blocks:
        if kind.startswith("sh"):
            lines += enumerate(block, first)
    known = {}
    for number, line in lines:
        match = re.search(r"(?<![\w/.-])(chatstored|chatstore|tests/run)((?:\s+[^|;&#]+)?)", line)
        if not match:
            continue
        command = match.group(1)
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", match.group(2)):
            if command not in known:
                known[command] = help_of(programs, command)
            if option not in ("--help", "--version") and option not in known[command]:
                yield number, "option", f"{command} --help does not name {option}"


def check_limits(document, _programs):
    with open(os.path.join(ROOT, "docs/configuration.md"), encoding="utf-8") as file:
        rows = set(re.findall(r"^\| `(\w+)` \|", file.read(), re.MULTILINE))
    functions = {name for _, name, _ in named_functions(document)}
    for number, span in document.code_spans():
        if re.fullmatch(r"[a-z_]+_(bytes|ms|max)", span) and span not in rows | functions:
            yield number, "limit", f"docs/configuration.md has no {span}"


# What stands for whatever varies: <word> in a document, a conversion in the sources.
ANY = "\0"


def printed_texts():
    """Every string literal of the programs, adjacent ones joined, conversions as ANY."""
    texts = []
    for room in ("service", "router", "pool", "stubs/c", "stubs/cli"):
        for path in glob.glob(os.path.join(ROOT, room, "*.c*")):
            with open(path, encoding="utf-8") as file:
                code = re.sub(r"\bPRI\w+\b", '"u"', file.read())
            for run in re.findall(r'"(?:\\.|[^"\\\n])*"(?:\s*"(?:\\.|[^"\\\n])*")*', code):
                text = "".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', run)).replace('\\"', '"')
                texts.append(re.sub(r"%[-+0-9.*]*(?:hh|h|ll|l|z)?[a-zA-Z]", ANY, text))
    return texts


def check_quoted(document, _programs):
    texts = None
    for number, line in document.prose:
        match = re.match(r"#+ `(.+?)`", line)
        if not match or not document.path.endswith(("troubleshooting.md", "bad.md")):
            continue
        texts = texts or printed_texts()
        wanted = re.sub(r"<[a-z_ ]+>", ANY, match.group(1))
        if not any(wanted in text for text in texts):
            yield number, "quoted", f"no program prints: {match.group(1)}"


def make_sandbox(programs):
    """A folder with a bot.db, as a bot left it, and what the commands find in their environment."""
    folder = tempfile.mkdtemp(prefix="chatstore-docs.", dir="/tmp")
    environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "PATH": programs + ":" + os.environ["PATH"]}
    environment.pop("CHATSTORE_URL", None)
    lines = "".join(f'{{"method": "{method}", "request": {request!r}}}\n'.replace("'", '"')
                    for method, request in SAMPLE)
    subprocess.run(["chatstore", "call", "--stdin", "--url", "embedded:bot.db"], input=lines, text=True,
                   cwd=folder, env=environment, check=True, capture_output=True,
                   timeout=COMMAND_SECONDS_MAX)
    return folder, environment


def run_block(lines, folder, environment):
    """Exit status and output of a block, in a process group that is gone afterwards."""
    script = "set -e\n" + "\n".join(lines)
    process = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=COMMAND_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        output += f"\n(it took more than {COMMAND_SECONDS_MAX} s)"
    return process.returncode, output


def check_commands(document, programs):
    """The blocks "sh run", in their order, and the output that the document shows."""
    if not any(kind == "sh run" for kind, _, _ in document.blocks):
        return
    folder, environment = make_sandbox(programs)
    output = ""
    try:
        for kind, first, lines in document.blocks:
            if kind == "sh run":
                status, output = run_block(lines, folder, environment)
                print(f"--- {document.path}:{first}\n{output}")
                if status != 0:
                    yield first, "command", f"the block ended with {status}:\n{output}"
            elif kind == "text output":
                for number, line in enumerate(lines, first):
                    pattern = ".*".join(re.escape(part) for part in line.split("..."))
                    if not re.search(pattern, output):
                        yield number, "command", f"the block before does not print: {line}"
    finally:
        shutil.rmtree(folder)


RULES = [check_links, check_paths, check_functions, check_options, check_limits, check_quoted]


def check(path, programs, rules):
    document = Document(path)
    return [(document.path, number, rule, text)
            for each in rules for number, rule, text in each(document, programs)]


def self_test(programs):
    """Whether tests/readme/bad.md fails in every way, and in no other."""
    path = "tests/readme/bad.md"
    wanted = set()
    for number, line in enumerate(Document(path).lines, 1):
        for rule in re.findall(r"wrong: (\w+)", line):
            wanted.add((number, rule))
    found = {(number, rule) for _, number, rule, _ in check(path, programs, RULES + [check_commands])}
    for number, rule in sorted(wanted ^ found):
        print(f"{path}:{number}: {rule}: "
              + ("not reported" if (number, rule) in wanted else "reported, but is right"))
    rules = {rule for _, rule in wanted}
    missing = {"link", "path", "function", "option", "limit", "quoted", "command"} - rules
    if missing:
        print("no bad example of", ", ".join(sorted(missing)))
    return wanted == found and not missing


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("documents", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        return 0 if self_test(arguments.programs) else 1
    rules = [check_commands] if arguments.run else RULES
    findings = [finding for path in arguments.documents
                for finding in check(path, arguments.programs, rules)]
    for path, number, rule, text in findings:
        print(f"{path}:{number}: {rule}: {text}")
    return 1 if findings or not arguments.documents else 0


if __name__ == "__main__":
    sys.exit(main())
