"""chatstore/calls.py: the typed calls of the Python package, with the tables that its codec reads."""

import keyword
import textwrap

from model import PACKAGE, snake

TIMESTAMP = "google.protobuf.Timestamp"
ENVELOPE = ("Request", "Reply")
COLUMNS = 100
TYPES = {"string": "str", "bytes": "bytes", "bool": "bool", "double": "float", "timestamp": "datetime"}
ZEROS = {"str": '""', "bytes": 'b""', "bool": "False", "float": "0.0", "int": "0"}

HEADER = '''"""The calls of the contract. Made by stubs/generator; do not edit.

Rows are dictionaries, typed by the classes below. AsyncCalls and SyncCalls have one method for each
call; Client and SyncClient inherit them. What holds for all of them (deadlines, repeating, errors)
stands in those two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NotRequired, TypedDict

from chatstore.contract import AsyncRunner, Call, Field, Message, Outcome, SyncRunner

'''


def outputs(contract, carried):
    """The files of the package that are generated, by name."""
    return {
        "python/chatstore/calls.py": calls_module(contract),
        "python/chatstore/descriptor_set.pb": carried,
    }


def calls_module(contract):
    ordered = _in_order(contract)
    requested = _reachable(call.request for call in contract.calls)
    answered = _reachable(call.response for call in contract.calls)
    rows = [message for message in ordered if message.full_name in requested | answered]
    parts = [HEADER]
    parts += [_row_class(message, message.full_name in requested) for message in rows]
    parts += ["\n# What the codec knows of the messages.\n\n"]
    parts += [_message_table(message) for message in ordered]
    parts += [f"ENVELOPE_{name.upper()}: Final = {_table(name)}\n" for name in ENVELOPE]
    parts += ["\n# The calls as values.\n\n"]
    parts += [_call_value(call) for call in contract.calls]
    listed = "".join(f"    {snake(call.name).upper()},\n" for call in contract.calls)
    parts += [f"\nCALLS: Final[tuple[Call[Any], ...]] = (\n{listed})\n"]
    for name, base, word in (("AsyncCalls", "AsyncRunner", "async "), ("SyncCalls", "SyncRunner", "")):
        parts.append(f'\n\nclass {name}({base}):\n    """One method for each call."""\n')
        parts += [_method(call, word) for service in contract.services for call in service.calls]
    return "".join(parts)


def _inner(message):
    """The messages of ours that stand in this one."""
    return [field.message for field in message.fields
            if field.message is not None and field.message.full_name != TIMESTAMP]


def _in_order(contract):
    """All messages of ours, each after those that it holds."""
    found = {}

    def visit(message):
        for each in _inner(message):
            visit(each)
        found[message.full_name] = message

    for message in contract.messages.values():
        if message.full_name.startswith(PACKAGE + "."):
            visit(message)
    return list(found.values())


def _reachable(messages):
    """The names of the messages inside the given ones."""
    found = set()
    waiting = list(messages)
    while waiting:
        for each in _inner(waiting.pop()):
            found.add(each.full_name)
            waiting.append(each)
    return found


def _kind(field):
    if field.message is None:
        return field.type_name
    return "timestamp" if field.message.full_name == TIMESTAMP else "message"


def _plain_type(field):
    kind = _kind(field)
    return field.message.name if kind == "message" else TYPES.get(kind, "int")


def _may_be_absent(field):
    return field.has_presence and not field.repeated


def _answer_type(field):
    name = _plain_type(field)
    if field.repeated:
        return f"list[{name}]"
    return f"{name} | None" if _may_be_absent(field) else name


def _wrapped(text, indent, width=COLUMNS, subsequent=""):
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent + subsequent,
                         break_long_words=False, break_on_hyphens=False)


def _docstring(text, indent):
    """A one-paragraph docstring."""
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    if len(indent) + len(text) + 6 <= COLUMNS:
        return f'{indent}"""{text}"""\n'
    return _wrapped(f'"""{text}', indent) + f'\n{indent}"""\n'


def _row_class(message, is_input):
    text = f"\nclass {message.name}(TypedDict):\n{_docstring(message.comment, '    ')}\n"
    for field in message.fields:
        kind = _answer_type(field)
        if is_input and field.has_presence:
            kind = f"NotRequired[{kind}]"
        text += f"    {field.name}: {kind}\n{_docstring(field.comment, '    ')}"
    return text + "\n"


def _table(name):
    return "_M_" + snake(name).upper()


def _message_table(message):
    rows = ""
    for field in message.fields:
        parts = [str(field.proto.number), f'"{field.name}"', f'"{_kind(field)}"']
        if field.repeated:
            parts.append("repeated=True")
        if _may_be_absent(field):
            parts.append("presence=True")
        if _kind(field) == "message":
            parts.append(f"message={_table(field.message.name)}")
        rows += f"        Field({', '.join(parts)}),\n"
    fields = f"(\n{rows}    )" if rows else "()"
    return f'{_table(message.name)}: Final = Message(\n    "{message.name}", {fields}\n)\n'


def _call_value(call):
    write = "True" if call.option("access") == "WRITE" else "False"
    return (f"{snake(call.name).upper()}: Final[Call[{_result_type(call)}]] = Call(\n"
            f'    "{call.name}", "{call.method}", {_table(call.request.name)}, '
            f"{_table(call.response.name)}, write={write}\n)\n")


def _result_type(call):
    return _answer_type(call.response.fields[0]) if call.response.fields else "None"


def _argument(field):
    name = _plain_type(field)
    required = field.rules is not None and field.rules.required
    if field.repeated:
        return f"{field.name}: Sequence[{name}] = ()"
    if required:
        return f"{field.name}: {name}"
    if field.has_presence:
        return f"{field.name}: {name} | None = None"
    return f"{field.name}: {name} = {ZEROS[name]}"


def _arguments(call):
    required = [f for f in call.request.fields if f.rules is not None and f.rules.required]
    return required + [f for f in call.request.fields if f not in required]


def _documentation(call):
    indent = " " * 8
    lines = [_wrapped(f'"""{call.comment}', indent)]
    fields = _arguments(call)
    if fields:
        lines += ["", f"{indent}Args:"]
        lines += [_wrapped(f"{field.name}: {field.comment}", indent + "    ", subsequent="    ")
                  for field in fields]
    if call.response.fields:
        lines += ["", f"{indent}Returns:",
                  _wrapped(call.response.fields[0].comment, indent + "    ")]
    return "\n".join(lines).replace("\\", "\\\\") + f'\n{indent}"""\n'


def _method(call, word):
    write = call.option("access") == "WRITE"
    names = [field.name for field in call.request.fields]
    for field in call.request.fields + call.response.fields:
        if keyword.iskeyword(field.name):
            raise ValueError(f"{call.name}: {field.name} is a word of Python")
        if field.repeated and _kind(field) not in ("string", "message"):
            raise ValueError(f"{call.name}: the Python codec knows no repeated {field.type_name}")
    arguments = [_argument(field) for field in _arguments(call)]
    arguments += ["timeout: float | None = None", "outcome: Outcome | None = None"]
    if write:
        arguments.append("request_id: str | None = None")
    listed = "".join(f"        {each},\n" for each in arguments)
    values = "".join(f'                "{name}": {name},\n' for name in names)
    values = f"{{\n{values}            }}" if names else "{}"
    wait = "await " if word else ""
    identity = "request_id" if write else "None"
    return (f"\n    {word}def {snake(call.name)}(\n        self,\n        *,\n{listed}"
            f"    ) -> {_result_type(call)}:\n{_documentation(call)}"
            f"        return {wait}self._run(\n            {snake(call.name).upper()},\n"
            f"            {values},\n            timeout,\n            outcome,\n"
            f"            {identity},\n        )\n")
