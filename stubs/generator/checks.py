"""What must hold for the contract, beyond what protoc checks."""

from model import FieldProto, INTEGER_TYPES
from pages import is_list


def check_contract(contract, problems):
    names = {}
    for call in contract.calls:
        if call.name in names:
            problems.add(call.place, f"rpc {call.name} has the name of another rpc ({names[call.name]}); "
                         "bare names of calls are unique over all services")
        names[call.name] = call.method
        if _check_declared(call, problems):
            _check_request(call, problems)
            _check_response(call, problems)
            _check_pages(call, problems)
            _check_merge(call, problems)
            _check_each(call, problems)
    for message in contract.messages.values():
        _check_not_recursive(message, problems)
        for field in message.fields:
            _check_rules(field, problems)


def _check_declared(call, problems):
    if call.options is None:
        problems.add(call.place, f"rpc {call.name} has no option (call); declare scope, access and cost")
        return False
    missing = [name for name in ("scope", "access", "cost") if getattr(call.options, name) == 0]
    for name in missing:
        problems.add(call.place, f"rpc {call.name} does not declare its {name}")
    return not missing


def _is_plain(field, wanted):
    return field is not None and field.proto.type == wanted and not field.repeated


def _check_request(call, problems):
    place = call.request.place
    if call.option("scope") == "CHAT" and not _is_plain(call.request.find("chat_id"),
                                                        FieldProto.TYPE_INT64):
        problems.add(place, f"{call.request.name} needs an int64 chat_id: {call.name} has SCOPE_CHAT")
    if call.option("access") == "READ" and call.option("scope") != "SERVER" and not _is_plain(
            call.request.find("data_source"), FieldProto.TYPE_STRING):
        problems.add(place, f"{call.request.name} needs a string data_source: {call.name} reads sources")


def _check_response(call, problems):
    if call.option("access") != "WRITE":
        return
    first = call.response.fields[0] if call.response.fields else None
    if not _is_plain(first, FieldProto.TYPE_INT64) or (first.name, first.proto.number) != ("changed_rows", 1):
        problems.add(call.response.place,
                     f"{call.response.name} needs int64 changed_rows = 1: {call.name} writes")


def _check_pages(call, problems):
    """Every list comes in pages, and nothing else does."""
    for message, name, wanted in ((call.request, "page_size", FieldProto.TYPE_UINT32),
                                  (call.request, "page_token", FieldProto.TYPE_STRING),
                                  (call.response, "next_page_token", FieldProto.TYPE_STRING)):
        field = message.find(name)
        if not is_list(call) and field is not None:
            problems.add(field.place, f"{message.name} has a {name}, but {call.name} is no list of its sources' rows")
        elif is_list(call) and not _is_plain(field, wanted):
            kind = "uint32" if wanted == FieldProto.TYPE_UINT32 else "string"
            problems.add(message.place, f"{message.name} needs a {kind} {name}: {call.name} is a list")


def _check_merge(call, problems):
    columns = list(call.options.merge_key)
    for order in call.options.merge_order:
        name, _, direction = order.partition(" ")
        columns.append(name)
        if direction not in ("", "desc"):
            problems.add(call.place, f'merge_order "{order}" of {call.name}: write "column" or "column desc"')
    if columns and call.option("scope") != "ALL":
        problems.add(call.place, f"{call.name} declares a merge, which only SCOPE_ALL has")
    for name in columns:
        if call.row_message is None or call.row_message.find(name) is None:
            problems.add(call.place, f'{call.name} merges by "{name}", which is no column of its rows '
                         f"(field 1 of {call.response.name})")


def _check_each(call, problems):
    if not call.options.each:
        return
    field = call.request.find(call.options.each)
    if field is None or not field.repeated or field.message is None:
        problems.add(call.place, f'{call.name} runs for each "{call.options.each}", which is no repeated '
                     f"message field of {call.request.name}")


def _check_rules(field, problems):
    rules = field.rules
    if rules is None:
        return
    is_integer = field.proto.type in INTEGER_TYPES
    is_string = field.proto.type == FieldProto.TYPE_STRING
    is_bool = field.proto.type == FieldProto.TYPE_BOOL
    if rules.HasField("min") and not is_integer:
        problems.add(field.place, f"field {field.name}: min is for integer fields")
    if len(getattr(rules, "in")) > 0 and not is_string:
        problems.add(field.place, f"field {field.name}: in is for string fields")
    if not rules.HasField("default_value"):
        return
    if not (is_integer or is_string or is_bool) or field.repeated:
        problems.add(field.place, f"field {field.name}: default_value is for single integer, bool and string fields")
    elif not is_string and default_integer(field) is None:
        problems.add(field.place, f'field {field.name}: default_value "{rules.default_value}" is no {field.type_name}')


def default_integer(field):
    """The default of an integer or bool field as a number; None when it cannot be read."""
    text = field.rules.default_value
    if field.proto.type == FieldProto.TYPE_BOOL:
        return {"true": 1, "false": 0}.get(text)
    try:
        return int(text)
    except ValueError:
        return None


def _check_not_recursive(message, problems):
    """protobuf-c unpacks without a limit of depth: a recursive message would let a frame of some
    kilobytes exhaust the stack."""
    waiting, seen = [message], set()
    while waiting:
        for field in waiting.pop().fields:
            if field.message is message:
                problems.add(message.place, f"message {message.name} contains itself; no message may be recursive")
                return
            if field.message is not None and field.message.full_name not in seen:
                seen.add(field.message.full_name)
                waiting.append(field.message)
