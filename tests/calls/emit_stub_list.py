"""Writes stub_list.h: the macro STUB_LIST(X), X(ID, stem, request type, response type) for each call.

    emit_stub_list.py GENERATOR_DIR SET.pb PROTO_DIR OUT
"""
import sys

sys.path.insert(0, sys.argv[1])

from google.protobuf import descriptor_pb2  # noqa: E402

from emit_c import call_id, type_name  # noqa: E402
from model import Contract, snake  # noqa: E402


def main(set_path, proto_dir, out_path):
    descriptor_set = descriptor_pb2.FileDescriptorSet()
    with open(set_path, "rb") as file:
        descriptor_set.ParseFromString(file.read())
    contract = Contract(descriptor_set, proto_dir)
    rows = " \\\n".join(
        f"    X({call_id(call)}, {snake(call.name)}, {type_name(call.request.full_name)}, "
        f"{type_name(call.response.full_name)})" for call in contract.calls)
    with open(out_path, "w", encoding="utf-8") as file:
        file.write(f"/* Made by tests/calls/emit_stub_list.py. */\n#define STUB_LIST(X) \\\n{rows}\n")


main(*sys.argv[2:])
