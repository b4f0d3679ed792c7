"""docs/calls.md: the call reference."""

from model import PACKAGE

SCOPES = {
    "DEFAULT": "default source",
    "CHAT": "source of the chat",
    "ALL": "all sources, merged",
    "SERVER": "the server itself",
}
ACCESSES = {"READ": "read", "WRITE": "write", "ADMIN": "administration"}
COSTS = {"POINT": "point", "SCAN": "scan"}

INTRODUCTION = f"""# The calls

Made from `proto/chatstore/v1/*.proto` by `stubs/generator` (target `docs-calls`); edit the comments there.
How messages travel is in `envelope.proto`; every method is named `/{PACKAGE}.Service/Call`.

*Source* says where a call goes unless `data_source` names a source. A write is refused on readonly sources.
A *point* call reads a few rows by key, and stubs may join several into one frame; a *scan* may read many rows.
"Presence" tells how an absent field differs from zero: `optional` fields and messages can be absent; of all others
zero, empty and absent are the same.
A list (a call with a `page_size`) answers all its rows, or a page of them:
[clients.md](clients.md#pages) says what holds from page to page.

"""


def calls_markdown(contract):
    parts = [INTRODUCTION, "| call | source | access | cost | |\n|---|---|---|---|---|\n"]
    for service in contract.services:
        parts += [_index_row(call) for call in service.calls]
    rows = _shared_messages(contract)
    for service in contract.services:
        parts.append(f"\n## {service.name}\n\n{service.comment}\n")
        parts += [_call_section(call) for call in service.calls]
    parts.append("\n## Messages in answers and requests\n")
    parts += [_message_section(message) for message in rows]
    return "".join(parts)


def _cell(text):
    return text.replace("|", "\\|")


def _traits(call):
    return (SCOPES[call.option("scope")], ACCESSES[call.option("access")], COSTS[call.option("cost")])


def _index_row(call):
    first = call.comment.split(". ")[0].rstrip(".")
    return f"| [{call.name}](#{call.name.lower()}) | {' | '.join(_traits(call))} | {_cell(first)} |\n"


def _call_section(call):
    source, access, cost = _traits(call)
    text = f"\n### {call.name}\n\n{call.comment}\n\n*Source:* {source}. *Access:* {access}. *Cost:* {cost}.\n"
    if call.options.merge_key:
        text += f"*Merged by:* {', '.join(call.options.merge_key)}; the first source in the configuration wins.\n"
    if call.options.merge_order:
        text += f"*Order of the merged answer:* {', '.join(call.options.merge_order)}.\n"
    return text + _fields(f"Request ({call.request.name})", call.request) + \
        _fields(f"Response ({call.response.name})", call.response)


def _fields(title, message):
    if not message.fields:
        return f"\n{title}: no fields.\n"
    rows = "".join(_field_row(field) for field in message.fields)
    return f"\n{title}:\n\n| field | type | presence | |\n|---|---|---|---|\n{rows}"


def _type(field):
    name = field.type_name
    if field.message and field.message.full_name.startswith(PACKAGE + "."):
        name = f"[{name}](#{name.lower()})"
    return f"repeated {name}" if field.repeated else name


def _field_row(field):
    presence = "yes" if field.has_presence else ""
    return (f"| `{field.name}` | {_type(field)} | {presence} | "
            f"{_cell(' '.join(filter(None, [field.comment, _rules(field)])))} |\n")


def _rules(field):
    rules = field.rules
    if rules is None:
        return ""
    notes = ["required"] if rules.required else []
    if rules.HasField("min"):
        notes.append(f"at least {rules.min}")
    if getattr(rules, "in"):
        notes.append("one of " + ", ".join(f"`{value}`" for value in getattr(rules, "in")))
    if rules.HasField("default_value"):
        notes.append(f'default `"{rules.default_value}"`' if field.type_name == "string"
                     else f"default `{rules.default_value}`")
    return f"*({'; '.join(notes)})*" if notes else ""


def _shared_messages(contract):
    """Messages inside requests and responses, in the order in which they are met."""
    found = {}
    def visit(message):
        for field in message.fields:
            inner = field.message
            if inner is not None and inner.full_name.startswith(PACKAGE + ".") and inner.full_name not in found:
                found[inner.full_name] = inner
                visit(inner)
    for service in contract.services:
        for call in service.calls:
            visit(call.request)
            visit(call.response)
    return sorted(found.values(), key=lambda message: message.name)


def _message_section(message):
    return f"\n### {message.name}\n\n{message.comment}\n" + _fields("Fields", message)
