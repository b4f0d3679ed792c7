"""The named SQL blocks of service/sql/*.sql: read, and checked against the contract.

"-- name: RpcName" starts the block of a call; it ends at the next one. Comments are dropped.
":param" names a request field, or a field of the element of the call's `each`. A name in braces
("cache_{cache_type}") takes its text from a request field with a closed set of values, or from a
"-- fragment: name" of the same file, which holds what several of its blocks share.
"""

import re
from dataclasses import dataclass

from pages import is_list, page_of

HEAD = re.compile(r"--\s*(name|fragment):\s*(\S+)\s*$")
TOKEN = re.compile(r"""
    (?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
  | (?P<comment>--[^\n]*|/\*.*?\*/)
  | :(?P<param>[A-Za-z_][A-Za-z0-9_]*)
  | \{(?P<hole>[^}\n]*)\}
""", re.VERBOSE | re.DOTALL)


@dataclass
class Block:
    call: object
    place: tuple
    text: str
    page: object = None  # the Page of a list


def read_blocks(paths, contract, problems):
    """The blocks by call name."""
    calls = {call.name: call for call in contract.calls}
    blocks = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        parts = _split(path, lines, problems)
        fragments = {name: body for kind, name, _, body in parts if kind == "fragment"}
        for kind, name, line, body in parts:
            place = (path, line)
            if kind == "fragment":
                continue
            if name not in calls:
                problems.add(place, f"block {name} names no rpc of the contract")
            elif name in blocks:
                first = ":".join(map(str, blocks[name].place))
                problems.add(place, f"{name} has a second block; the first is at {first}")
            else:
                text = _check_body(calls[name], place, body, fragments, problems)
                blocks[name] = Block(calls[name], place, text, _page(calls[name], place, text, problems))
    _check_complete(calls, blocks, problems)
    return blocks


def _split(path, lines, problems):
    """(kind, name, line number of the name, body) of each block and fragment of a file."""
    starts = [(i, *match.groups()) for i, text in enumerate(lines) if (match := HEAD.match(text))]
    ends = [i for i, _, _ in starts[1:]] + [len(lines)]
    for i, text in enumerate(lines[:starts[0][0] if starts else len(lines)]):
        if text.strip() and not text.lstrip().startswith("--"):
            problems.add((path, i + 1), 'SQL before the first "-- name: RpcName"')
    return [(kind, name, start + 1, "\n".join(lines[start + 1:end]))
            for (start, kind, name), end in zip(starts, ends)]


def _check_body(call, place, body, fragments, problems):
    """The block's text with its fragments, without comments and empty lines."""
    path, name_line = place

    def visit(match, fragment_place=None):
        at = fragment_place or (path, name_line + 1 + body.count("\n", 0, match.start()))
        hole = match.group("hole")
        if match.group("comment"):
            return " "
        if hole in fragments and not fragment_place:
            return TOKEN.sub(lambda inner: visit(inner, at), fragments[hole]).strip()
        if match.group("param") and not _known_fields(call).get(match.group("param")):
            problems.add(at, f"{call.name}: :{match.group('param')} is no field of {_whose(call)}")
        if hole is not None:
            _check_hole(call, hole, at, problems)
        return match.group(0)

    text = "\n".join(filter(None, (line.rstrip() for line in TOKEN.sub(visit, body).splitlines())))
    if not text:
        problems.add(place, f"the block of {call.name} is empty")
    return text


def _page(call, place, text, problems):
    page = page_of(call, text) if is_list(call) else None
    if isinstance(page, str):
        problems.add(place, f"{call.name}: {page}")
        return None
    return page


def _element(call):
    field = call.request.find(call.options.each) if call.options and call.options.each else None
    return field.message if field else None


def _known_fields(call):
    element = _element(call)
    return {field.name: field for field in call.request.fields + (element.fields if element else [])}


def _whose(call):
    element = _element(call)
    return call.request.name + (f" or {element.name}" if element else "")


def _check_hole(call, name, place, problems):
    field = call.request.find(name)
    if field is None or field.rules is None or not getattr(field.rules, "in"):
        problems.add(place, f"{call.name}: {{{name}}} is no field of {call.request.name} "
                     "with a closed set of values (rules.in), and no fragment of this file")


def _check_complete(calls, blocks, problems):
    for name, call in calls.items():
        if call.options is None:
            continue
        needs_block = call.option("scope") != "SERVER"
        if needs_block and name not in blocks:
            problems.add(call.place, f"rpc {name} has no SQL block (-- name: {name})")
        if not needs_block and name in blocks:
            problems.add(blocks[name].place, f"{name} has SCOPE_SERVER: it reads no source and has no SQL block")
