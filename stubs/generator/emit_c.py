"""C text of the call table, the stubs, the SQL blocks and the descriptor set."""

import os
import textwrap

from checks import default_integer
from model import FieldProto, HIDDEN_FILES, snake

BANNER = "/* Made by stubs/generator; do not edit. */\n"
COLUMNS = 100


def c_string(text):
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "?": "\\?"}
    return '"' + "".join(escapes.get(c, c) for c in text) + '"'


def lower_name(full_name):
    """chatstore.v1.GetChatUserRequest -> chatstore__v1__get_chat_user_request"""
    return "__".join(snake(part) for part in full_name.split("."))


def type_name(full_name):
    """chatstore.v1.GetChatUserRequest -> Chatstore__V1__GetChatUserRequest"""
    return "__".join(part[0].upper() + part[1:] for part in full_name.split("."))


def call_id(call):
    return "CALL_" + snake(call.name).upper()


def comment(paragraphs):
    """A block comment of wrapped paragraphs; a list among them is a list of items."""
    lines = []
    for paragraph in filter(None, paragraphs):
        items = paragraph if isinstance(paragraph, list) else [paragraph]
        lines.append("")
        for item in items:
            indent = "    " if isinstance(paragraph, list) else ""
            lines += textwrap.wrap(item.replace("*/", "* /"), COLUMNS - 3, subsequent_indent=indent,
                                   break_long_words=False, break_on_hyphens=False)
    return "/* " + "\n * ".join(lines[1:]).replace(" \n", "\n") + " */\n"


# The table of calls

def call_ids(contract):
    rows = "".join(f"    {call_id(call)},\n" for call in contract.calls)
    return (BANNER + "#ifndef CHATSTORE_CALL_IDS_H\n#define CHATSTORE_CALL_IDS_H\n\n"
            "/* Indexes of the rows of call_table. */\n"
            f"enum call_id {{\n{rows}    CALL_COUNT\n}};\n\n#endif\n")


def call_table(contract):
    """One translation unit with protobuf-c's own files, whose arrays of field descriptors are
    static and which the rows point into."""
    includes = "".join(f'#include "{os.path.splitext(file.name)[0]}.pb-c.c"\n'
                       for file in contract.descriptor_set.file if file.name not in HIDDEN_FILES)
    arrays = "".join(_call_arrays(call) for call in contract.calls)
    rows = "".join(_call_row(call) for call in contract.calls)
    return (f'{BANNER}#include "call.h"\n#include "call_ids.h"\n{includes}\n'
            "static const char *const no_names[] = {NULL};\n"
            f"{arrays}\nconst struct call call_table[] = {{\n{rows}}};\n\n"
            "const size_t call_table_count = CALL_COUNT;\n")


def _names_array(name, values):
    return f"static const char *const {name}[] = {{{', '.join(map(c_string, values))}, NULL}};\n"


def _merge_array(call, option):
    return f"{snake(call.name)}_{option}" if getattr(call.options, option) else "no_names"


def _call_arrays(call):
    text = "".join(_names_array(_merge_array(call, option), getattr(call.options, option))
                   for option in ("merge_key", "merge_order") if getattr(call.options, option))
    ruled = _ruled_fields(call)
    for message, field in ruled:
        values = getattr(field.rules, "in")
        text += _names_array(_in_name(call, message, field), values) if values else ""
    rows = "".join(_rule_row(call, message, field) for message, field in ruled)
    if rows:
        text += f"static const struct call_field_rule {snake(call.name)}_rules[] = {{\n{rows}}};\n"
    return text


def _ruled_fields(call):
    """(message, field) of the request and of the elements of its repeated fields."""
    messages = [call.request] + [field.message for field in call.request.fields if field.message]
    return [(message, field) for message in messages for field in message.fields
            if field.rules is not None]


def _in_name(call, message, field):
    return f"{snake(call.name)}_{snake(message.name)}_{field.name}_in"


def _field_pointer(message, field):
    return f"&{lower_name(message.full_name)}__field_descriptors[{field.index}]" if field else "NULL"


def _rule_row(call, message, field):
    rules = field.rules
    parts = [f".field = {_field_pointer(message, field)}"]
    if rules.required:
        parts.append(".required = true")
    if rules.HasField("min"):
        parts.append(f".has_min = true, .min = {rules.min}")
    if getattr(rules, "in"):
        parts.append(f".in = {_in_name(call, message, field)}")
    if rules.HasField("default_value"):
        parts.append(".has_default = true")
        if field.proto.type == FieldProto.TYPE_STRING:
            parts.append(f".default_text = {c_string(rules.default_value)}")
        else:
            parts.append(f".default_integer = {default_integer(field)}")
    return f"    {{{', '.join(parts)}}},\n"


def _call_row(call):
    rules = f"{snake(call.name)}_rules" if _ruled_fields(call) else None
    values = {
        "id": call_id(call),
        "name": c_string(call.name),
        "service": c_string(call.service),
        "method": c_string(call.method),
        "scope": "CALL_SCOPE_" + call.option("scope"),
        "access": "CALL_ACCESS_" + call.option("access"),
        "cost": "CALL_COST_" + call.option("cost"),
        "request": f"&{lower_name(call.request.full_name)}__descriptor",
        "response": f"&{lower_name(call.response.full_name)}__descriptor",
        "merge_key": _merge_array(call, "merge_key"),
        "merge_order": _merge_array(call, "merge_order"),
        "each": _field_pointer(call.request, call.request.find(call.options.each)),
        "rules": rules or "NULL",
        "rule_count": f"sizeof {rules} / sizeof {rules}[0]" if rules else "0",
        "chat_id": _field_pointer(call.request, call.request.find("chat_id")),
        "data_source": _field_pointer(call.request, call.request.find("data_source")),
        "limit": _field_pointer(call.request, call.request.find("limit")),
        "page_size": _field_pointer(call.request, call.request.find("page_size")),
        "page_token": _field_pointer(call.request, call.request.find("page_token")),
        "next_page_token": _field_pointer(call.response, call.response.find("next_page_token")),
    }
    return "    {\n" + "".join(f"        .{name} = {value},\n" for name, value in values.items()) + "    },\n"


# The stubs of the C client

def stub_header(contract):
    includes = "".join(f"#include <{os.path.splitext(file.name)[0]}.pb-c.h>\n"
                       for file in contract.descriptor_set.file if file.service)
    parts = [_stub_declarations(call) for service in contract.services for call in service.calls]
    return (BANNER + _STUB_HEADER_TEXT + "#ifndef CHATSTORE_CALLS_H\n#define CHATSTORE_CALLS_H\n\n"
            "#include <chatstore/chatstore.h>\n" + includes +
            '\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n' + "\n".join(parts) +
            "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n")


_STUB_HEADER_TEXT = """
/* One function per call, blocking, and one with a callback. What holds for all of them (options,
 * outcome, ownership, threads, presence of fields) stands in <chatstore/chatstore.h>. In short:
 * on CHATSTORE_OK *response is the answer, to be freed with its ..._free_unpacked(response, NULL);
 * on anything else it is NULL. response may be NULL where the answer is not wanted. */
"""


def _stub_names(call):
    stem = f"chatstore_{snake(call.name)}"
    return stem, f"{stem}_callback", type_name(call.request.full_name), type_name(call.response.full_name)


def _field_items(title, message):
    return [title] + [_field_item(each) for each in message.fields] if message.fields else None


def _field_item(field):
    is_required = field.rules is not None and field.rules.required
    return f"  {field.name}: {field.comment}{' Required.' if is_required else ''}"


def _stub_signatures(call):
    """(blocking, async) without their final punctuation."""
    stem, callback, request, _ = _stub_names(call)
    common = (f"struct chatstore_client *client, const {request} *request,\n"
              "    const struct chatstore_call_options *options,")
    response = type_name(call.response.full_name)
    return (f"enum chatstore_status {stem}(\n    {common}\n    {response} **response)",
            f"void {stem}_async(\n    {common}\n    {callback} *callback, void *arg)")


def _stub_declarations(call):
    _, callback, _, response = _stub_names(call)
    blocking, deferred = _stub_signatures(call)
    text = comment([call.comment, _field_items("Request:", call.request),
                    _field_items("Response:", call.response)])
    return (f"{text}CHATSTORE_API {blocking};\n"
            f"typedef void {callback}(\n    enum chatstore_status status, {response} *response,\n"
            "    const struct chatstore_outcome *outcome, void *arg);\n"
            f"CHATSTORE_API {deferred};\n")


def stub_source(contract):
    parts = [_stub_definitions(call) for service in contract.services for call in service.calls]
    return (BANNER + "#include <chatstore/calls.h>\n\n"
            '#include "call_ids.h"\n#include "run.h"\n\n' + "\n".join(parts))


def _stub_definitions(call):
    stem, callback, _, response = _stub_names(call)
    blocking, deferred = _stub_signatures(call)
    return f"""{blocking}
{{
    ProtobufCMessage *message = NULL;
    enum chatstore_status status = chatstore_run(client, {call_id(call)}, &request->base, options,
                                                 response == NULL ? NULL : &message);
    if (response != NULL)
        *response = ({response} *)message;
    return status;
}}

static void {stem}_done(chatstore_any_function *callback, enum chatstore_status status,
                        ProtobufCMessage *message, const struct chatstore_outcome *outcome,
                        void *arg)
{{
    (({callback} *)callback)(status, ({response} *)message, outcome, arg);
}}

{deferred}
{{
    chatstore_run_async(client, {call_id(call)}, &request->base, options, {stem}_done,
                        (chatstore_any_function *)callback, arg);
}}
"""


# The server's SQL, and the descriptor set of programs

def sql_blocks(contract, blocks):
    entries = []
    for call in contract.calls:
        if call.name not in blocks:
            entries.append(f"    [{call_id(call)}] = NULL,\n")
            continue
        entries.append(f"    [{call_id(call)}] =\n{_sql_literal(blocks[call.name].text)},\n")
    pages = [(call, blocks[call.name].page) for call in contract.calls
             if call.name in blocks and blocks[call.name].page]
    page_rows = "".join(f"    [{call_id(call)}] =\n        {{\n{_sql_literal(page.sql)},\n"
                        f"            {c_string(page.directions)},\n        }},\n" for call, page in pages)
    return (BANNER + '#include "sql_blocks.h"\n\n#include <stddef.h>\n\n'
            "const char *const call_sql[CALL_COUNT] = {\n" + "".join(entries) + "};\n\n"
            "const struct call_page_sql call_page_sql[CALL_COUNT] = {\n" + page_rows + "};\n")


def _sql_literal(text):
    return "\n".join("        " + c_string(line + "\n") for line in text.split("\n"))


def sql_blocks_header():
    return (BANNER + '#ifndef CHATSTORE_SQL_BLOCKS_H\n#define CHATSTORE_SQL_BLOCKS_H\n\n#include "call_ids.h"\n\n'
            "/* The SQL of each call, by id; NULL for calls of the server itself. */\n"
            "extern const char *const call_sql[CALL_COUNT];\n\n"
            "/* What pages of a list are read by: its rows, unordered, with what orders them behind their own\n"
            " * columns, as \"page 1\" and so on; and a letter for each of these: a(scending), d(escending).\n"
            " * NULL for calls that are no lists. */\n"
            "struct call_page_sql {\n    const char *sql, *directions;\n};\n"
            "extern const struct call_page_sql call_page_sql[CALL_COUNT];\n\n#endif\n")


def descriptor_bytes(data):
    rows = "".join("    " + ", ".join(str(byte) for byte in data[i:i + 20]) + ",\n"
                   for i in range(0, len(data), 20))
    return (BANNER + '#include "descriptor_set.h"\n\n'
            f"const unsigned char descriptor_set[] = {{\n{rows}}};\n\n"
            f"const size_t descriptor_set_size = {len(data)};\n")


def descriptor_bytes_header():
    return (BANNER + "#ifndef CHATSTORE_DESCRIPTOR_SET_H\n#define CHATSTORE_DESCRIPTOR_SET_H\n\n"
            "#include <stddef.h>\n\n"
            "/* The contract as an encoded google.protobuf.FileDescriptorSet, with comments, without\n"
            " * custom options. */\n"
            "extern const unsigned char descriptor_set[];\nextern const size_t descriptor_set_size;\n\n#endif\n")
