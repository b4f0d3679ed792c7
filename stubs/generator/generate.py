#!/usr/bin/env python3
"""Makes from the contract what nobody should write by hand. Run by the build, into the build tree.

    generate.py contract --set SET.pb --proto-dir DIR --out DIR
        call_ids.h                enum call_id: CALL_GET_CHAT_USER ..., CALL_COUNT
        call_table.c              the rows of proto/call.h; includes protobuf-c's *.pb-c.c
        c_descriptor_set.pb       the set for protoc --descriptor_set_in=... --c_out=...
        descriptor_set.[ch]       the set as bytes, with comments, for programs (JSON, describe)
        chatstore/calls.h         the C stubs' header (public)
        calls.c                   the C stubs
        calls.md                  the call reference; docs/calls.md is compared with it
        python/chatstore/...      the generated part of the Python package
    generate.py sql --set SET.pb --proto-dir DIR --out DIR FILE.sql...
        sql_blocks.[ch]           const char *const call_sql[CALL_COUNT]

SET.pb comes from protoc --include_imports --include_source_info --descriptor_set_out=SET.pb.
Mistakes in the contract or the SQL go to standard error as "file:line: error: text", exit status 1,
and nothing is written. A file that would not change is not touched.
"""

import argparse
import os
import sys

from google.protobuf import descriptor_pb2

import emit_c
import emit_docs
import emit_python
import emit_sets
from checks import check_contract
from model import Contract, Problems
from sqlblocks import read_blocks


def contract_outputs(contract):
    descriptor_set = contract.descriptor_set
    carried = emit_sets.for_programs(descriptor_set).SerializeToString(deterministic=True)
    return {
        "call_ids.h": emit_c.call_ids(contract),
        "call_table.c": emit_c.call_table(contract),
        "c_descriptor_set.pb": emit_sets.for_protobuf_c(descriptor_set).SerializeToString(deterministic=True),
        "descriptor_set.h": emit_c.descriptor_bytes_header(),
        "descriptor_set.c": emit_c.descriptor_bytes(carried),
        "chatstore/calls.h": emit_c.stub_header(contract),
        "calls.c": emit_c.stub_source(contract),
        "calls.md": emit_docs.calls_markdown(contract),
        **emit_python.outputs(contract, carried),
    }


def sql_outputs(contract, paths, problems):
    blocks = read_blocks(paths, contract, problems)
    return {
        "sql_blocks.h": emit_c.sql_blocks_header(),
        "sql_blocks.c": emit_c.sql_blocks(contract, blocks),
    }


def write_changed(path, content):
    data = content.encode() if isinstance(content, str) else content
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(path, "rb") as file:
            if file.read() == data:
                return
    except FileNotFoundError:
        pass
    with open(path, "wb") as file:
        file.write(data)


def read_contract(path, proto_dir):
    descriptor_set = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        descriptor_set.ParseFromString(file.read())
    return Contract(descriptor_set, proto_dir)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("contract", "sql"))
    parser.add_argument("--set", required=True, help="the descriptor set")
    parser.add_argument("--proto-dir", required=True, help="folder of the .proto files, for error texts")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("sql", nargs="*", help="SQL files")
    return parser.parse_intermixed_args()


def main():
    arguments = parse_arguments()
    problems = Problems()
    contract = read_contract(arguments.set, arguments.proto_dir)
    check_contract(contract, problems)
    outputs = {}
    if not problems.lines():
        outputs = (contract_outputs(contract) if arguments.what == "contract"
                   else sql_outputs(contract, arguments.sql, problems))
    if problems.lines():
        sys.exit("\n".join(problems.lines()))
    for name, content in outputs.items():
        write_changed(os.path.join(arguments.out, name), content)


if __name__ == "__main__":
    main()
