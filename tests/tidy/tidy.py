#!/usr/bin/env python3
"""The rules of the tree that a compiler does not check.

    tests/tidy/tidy.py                  all files that git knows; prints FILE:LINE: RULE: what
    tests/tidy/tidy.py --root FOLDER    all files in FOLDER, as if it were the tree
    tests/tidy/tidy.py --self-test      the rules against tests/tidy/bad: every line there that says
                                        "tidy: RULE" must be reported, and nothing else

Ends with 0 if there is nothing to report, 1 if there is, 77 (skipped) if all else is well but the
formatter is missing.
"""
import argparse
import ast
import fnmatch
import os
import re
import shutil
import subprocess
import sys

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100
FORMATTER = "clang-format-14"
BAD_FOLDER = "tests/tidy/bad/"

BANNED_CALLS = {
    "strcpy": "snprintf, or memcpy with a length that was checked",
    "strcat": "snprintf, or memcpy with a length that was checked",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets or getline",
    "strtok": "strtok_r",
    "atoi": "strtol, with its errors checked",
    "atol": "strtol, with its errors checked",
    "atoll": "strtoll, with its errors checked",
    "atof": "strtod, with its errors checked",
    "pthread_cond_timedwait": "clock_wait of pool/clock.h, or pthread_cond_clockwait: the time of day may be set",
}

# Which rooms a room may include; tests/, bench/ and examples/ may include all.
ROOMS = {
    "proto": {"proto"},
    "router": {"proto", "router"},
    "pool": {"proto", "pool"},
    "service": {"proto", "router", "pool", "service"},
    "stubs": {"proto", "stubs"},
}
# The engine in the caller's own process: it plugs into the client's transport, and the command line
# tool brings it along.
ROOM_EXCEPTIONS = [
    ("service/embedded*", "stubs/c/transport.h"),
    ("service/embedded*", "stubs/c/chatstore/chatstore.h"),
    ("stubs/cli/*", "service/embedded.h"),
]

# Which files may include the headers of a library.
LIBRARY_USERS = {
    "sqlite3.h": ["pool/*", "tests/*", "bench/*"],
    "nng/*": ["service/listener*", "packaging/nng/*", "stubs/c/transport_*", "tests/*", "bench/*"],
}


class Source:
    """One file: its path from the root, its lines, and for C the lines without comments."""

    def __init__(self, root, path):
        self.path = path
        self.room = path.split("/")[0]
        self.suffix = os.path.splitext(path)[1]
        with open(os.path.join(root, path), encoding="utf-8") as file:
            self.text = file.read()
        self.lines = self.text.splitlines()
        self.is_c = self.suffix in (".c", ".h", ".cc")
        self.code_lines = code_of(self.text).splitlines() if self.is_c else []


def code_of(text):
    """C text with the contents of comments, strings and characters blanked, its lines kept."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

    def blank(match):
        token = match.group()
        inner = re.sub(r"[^\n]", " ", token[1:-1])
        return token[0] + inner + token[-1] if token[0] in "\"'" else " " + inner + " "

    return pattern.sub(blank, text)


def check_file_length(source, _tree):
    if source.is_c or source.suffix == ".py":
        if len(source.lines) > FILE_LINES_MAX:
            yield (FILE_LINES_MAX + 1, f"the file has {len(source.lines)} lines, "
                   f"at most {FILE_LINES_MAX} are allowed: split it by what it does")


def check_line_length(source, _tree):
    if source.is_c:
        for number, line in enumerate(source.lines, 1):
            if len(line) > LINE_COLUMNS_MAX:
                yield number, f"{len(line)} columns, at most {LINE_COLUMNS_MAX} are allowed"


def check_function_length(source, _tree):
    for first, last in function_bodies(source):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, (f"the function has {last - first + 1} lines, "
                          f"at most {FUNCTION_LINES_MAX} are allowed: name its parts")


def function_bodies(source):
    """First and last line of every function. In C: as clang-format writes them, so the braces of a
    body, and of nothing else but a class (which ends with a semicolon), stand in the first column."""
    if source.suffix == ".py":
        for node in ast.walk(ast.parse(source.text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno
        return
    first = None
    for number, line in enumerate(source.code_lines, 1):
        line = line.rstrip()
        if line == "{":
            first = number
        elif line == "}" and first is not None:
            yield first, number
        if line.startswith("}"):
            first = None


def check_banned_call(source, _tree):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(BANNED_CALLS) + r")\s*\(")
    for number, line in enumerate(source.code_lines, 1):
        for match in pattern.finditer(line):
            yield number, f"{match.group(1)}() is banned: use {BANNED_CALLS[match.group(1)]}"


def check_macro_flow(source, _tree):
    inside = False
    for number, line in enumerate(source.code_lines, 1):
        inside = inside or re.match(r"\s*#\s*define\b", line) is not None
        if inside and re.search(r"\b(return|goto)\b", line):
            yield number, "a macro may not return or jump: its caller could not see it"
        inside = inside and line.rstrip().endswith("\\")


def check_leftover(source, _tree):
    # In two parts, so that this file does not report itself.
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for number, line in enumerate(source.lines, 1):
        match = words.search(line)
        if match:
            yield number, f"{match.group()} is left: do it, or write an issue"


def includes_of(source):
    for number, (code, line) in enumerate(zip(source.code_lines, source.lines), 1):
        if re.match(r"\s*#\s*include\b", code):
            match = re.search(r'[<"]([^>"]+)[>"]', line)
            if match:
                yield number, match.group(1)


def included_path(source, name, tree):
    """The path from the root that an include means; where it cannot be told, the name as it is."""
    beside = os.path.normpath(os.path.join(os.path.dirname(source.path), name))
    if beside in tree or name.startswith("."):
        return beside
    found = [path for path in tree if path.endswith("/" + name)]
    return found[0] if len(found) == 1 and name not in tree else name


def check_include_direction(source, tree):
    if not source.is_c or source.room not in ROOMS:
        return
    for number, name in includes_of(source):
        path = included_path(source, name, tree)
        room = path.split("/")[0]
        if room not in ROOMS and room not in ("tests", "bench"):
            continue
        excepted = any(fnmatch.fnmatch(source.path, who) and path == what
                       for who, what in ROOM_EXCEPTIONS)
        if room not in ROOMS[source.room] and not excepted:
            allowed = ", ".join(sorted(ROOMS[source.room]))
            yield number, f"{source.room}/ may not include {path}, only {allowed}"


def check_library_include(source, _tree):
    for number, name in includes_of(source):
        for library, users in LIBRARY_USERS.items():
            if fnmatch.fnmatch(name, library):
                if not any(fnmatch.fnmatch(source.path, user) for user in users):
                    yield number, f"<{name}> may be included only in {', '.join(users)}"


RULES = {
    "file-length": check_file_length,
    "line-length": check_line_length,
    "function-length": check_function_length,
    "banned-call": check_banned_call,
    "macro-flow": check_macro_flow,
    "leftover": check_leftover,
    "include-direction": check_include_direction,
    "library-include": check_library_include,
}


def check_format(root, sources):
    """Reports of the formatter, one for each file: the first line that it would write otherwise."""
    paths = [source.path for source in sources if source.is_c]
    if not paths:
        return []
    result = subprocess.run([FORMATTER, "--dry-run", "--Werror", *paths], cwd=root, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True, check=False)
    first = {}
    for line in result.stderr.splitlines():
        match = re.match(r"(.+?):(\d+):\d+: error: ", line)
        if match:
            first.setdefault(match.group(1), int(match.group(2)))
    if result.returncode != 0 and not first:
        sys.exit(f"{FORMATTER} failed:\n{result.stderr}")
    return [(path, number, "format", f"run {FORMATTER} -i on the file")
            for path, number in first.items()]


def files_of_git(root):
    """The files that git knows, or None if the tree is no repository (a release archive, say)."""
    result = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"],
        capture_output=True, check=False) if shutil.which("git") else None
    if result is None or result.returncode != 0:
        return None
    return [path for path in result.stdout.decode().split("\0") if path]


def files_of_folder(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not re.match(r"\.git$|build|__pycache__$", name)]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def read_sources(root, paths):
    sources = []
    for path in sorted(paths):
        if os.path.isfile(os.path.join(root, path)):
            try:
                sources.append(Source(root, path))
            except UnicodeDecodeError:
                pass  # not a text
    return sources


def find_all(root, paths):
    """All reports as (path, line, rule, text), in order."""
    sources = read_sources(root, paths)
    tree = {source.path for source in sources}
    reports = []
    for source in sources:
        for rule, check in RULES.items():
            reports += [(source.path, number, rule, text) for number, text in check(source, tree)]
    if shutil.which(FORMATTER):
        reports += check_format(root, sources)
    return sorted(reports)


def self_test(root):
    """Whether the rules report the bad files, exactly where these say so; prints the differences."""
    folder = os.path.join(root, BAD_FOLDER)
    paths = list(files_of_folder(folder))
    wanted = set()
    for source in read_sources(folder, paths):
        for number, line in enumerate(source.lines, 1):
            wanted |= {(source.path, number, rule)
                       for rule in re.findall(r"tidy: ([a-z-]+)", line)}
    rules = set(RULES) | {"format"}
    if not shutil.which(FORMATTER):
        wanted = {report for report in wanted if report[2] != "format"}
        rules.remove("format")
    found = {report[:3] for report in find_all(folder, paths)}
    for path, number, rule in sorted(wanted - found):
        print(f"{BAD_FOLDER}{path}:{number}: {rule}: is bad and was not reported")
    for path, number, rule in sorted(found - wanted):
        print(f"{BAD_FOLDER}{path}:{number}: {rule}: was reported and is not marked")
    unproved = sorted(rules - {rule for _, _, rule in wanted & found})
    for rule in unproved:
        print(f"{rule}: no file in {BAD_FOLDER} proves that the rule can fail")
    return wanted == found and not unproved


def main():
    parser = argparse.ArgumentParser(description="Checks the rules of the tree.")
    parser.add_argument("--root", help="check all files in this folder, as if it were the tree")
    parser.add_argument("--self-test", action="store_true", help="check the rules themselves")
    options = parser.parse_args()
    own_root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    if options.self_test:
        ok = self_test(own_root)
    else:
        root = options.root or own_root
        paths = files_of_git(root) if options.root is None else None
        if paths is None:
            paths = list(files_of_folder(root))
        reports = find_all(root, [path for path in paths if not path.startswith(BAD_FOLDER)])
        for path, number, rule, text in reports:
            print(f"{path}:{number}: {rule}: {text}")
        print(f"{len(paths)} files, {len(reports)} reports")
        ok = not reports
    if ok and not shutil.which(FORMATTER):
        print(f"{FORMATTER} was not found: the format was not checked")
        return 77
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
