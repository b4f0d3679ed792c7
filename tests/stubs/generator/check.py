#!/usr/bin/env python3
"""The stub generator against small contracts.

    check.py [--update]

golden/small.proto and small.sql must give exactly golden/expected/*; --update writes them anew.
Each bad/NAME.proto (with bad/NAME.sql, if there is one) must be refused with exactly the errors that
comments "next line: TEXT" in them announce, each at the line after its comment.

In the environment: PYTHON with google.protobuf, PROTOC, PROTOBUF_INCLUDE, CHATSTORE_SOURCE_DIR.
"""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ["CHATSTORE_SOURCE_DIR"]
GOLDEN_FILES = ["call_ids.h", "call_table.c", "chatstore/calls.h", "calls.c", "calls.md", "sql_blocks.c"]
MARK = re.compile(r"next line: (.+)$")


def run(*command):
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)


def make_set(proto, out):
    """Compile one .proto of a folder; as its file name says, it is a contract of its own."""
    path = os.path.join(out, "set.pb")
    result = run(os.environ["PROTOC"], "-I", os.path.dirname(proto), "-I", os.path.join(SOURCE, "proto"),
                 "-I", os.environ["PROTOBUF_INCLUDE"], "--include_imports", "--include_source_info",
                 f"--descriptor_set_out={path}", proto)
    if result.returncode != 0:
        sys.exit(f"protoc: {result.stderr}")
    return path


def generate(what, proto, out, *sql):
    return run(os.environ["PYTHON"], "-B", os.path.join(SOURCE, "stubs/generator/generate.py"), what,
               "--set", make_set(proto, out), "--proto-dir", os.path.dirname(proto), "--out", out, *sql)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def announced(path):
    """(path, line, text) of the errors that the file says it has."""
    lines = read(os.path.join(HERE, path)).splitlines()
    return [(path, i + 2, match.group(1)) for i, line in enumerate(lines) if (match := MARK.search(line))]


def check_bad(proto):
    """Texts of what is not as announced."""
    sql = proto.replace(".proto", ".sql")
    has_sql = os.path.exists(os.path.join(HERE, sql))
    wanted = announced(proto) + (announced(sql) if has_sql else [])
    with tempfile.TemporaryDirectory() as out:
        result = generate("sql" if has_sql else "contract", proto, out, *([sql] if has_sql else []))
        left = [name for name in os.listdir(out) if name != "set.pb"]
    found = [line for line in result.stderr.splitlines() if line]
    problems = [f"{proto}: it wrote {name}" for name in left]
    if result.returncode != 1 or not wanted:
        problems.append(f"{proto}: exit status {result.returncode}, {len(wanted)} errors announced")
    for path, line, text in wanted:
        prefix = f"{path}:{line}: error: "
        matching = [each for each in found if each.startswith(prefix) and text in each]
        if not matching:
            problems.append(f"not reported: {prefix}{text}")
        found = [each for each in found if each not in matching]
    return problems + [f"reported, not announced: {line}" for line in found]


def check_golden(update):
    problems = []
    expected = os.path.join(HERE, "golden", "expected")
    with tempfile.TemporaryDirectory() as out:
        for what, sql in (("contract", []), ("sql", ["golden/small.sql"])):
            result = generate(what, "golden/small.proto", out, *sql)
            if result.returncode != 0:
                return [f"golden: {result.stderr}"]
        for name in GOLDEN_FILES:
            path = os.path.join(expected, name + ".txt")
            made = read(os.path.join(out, name))
            if update:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(made)
            elif not os.path.exists(path) or read(path) != made:
                problems.append(f"golden: {name} is not as in {path}; if it should be, run check.py --update")
        again = generate("contract", "golden/small.proto", out)
        if again.returncode != 0 or read(os.path.join(out, "call_ids.h")) != read(
                os.path.join(expected, "call_ids.h.txt")):
            problems.append("golden: a second run differs")
    return problems


def main():
    problems = check_golden("--update" in sys.argv[1:])
    bad = sorted(name for name in os.listdir(os.path.join(HERE, "bad")) if name.endswith(".proto"))
    for name in bad:
        problems += check_bad(os.path.join("bad", name))
    print("\n".join(problems))
    print(f"{len(bad)} bad contracts, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
