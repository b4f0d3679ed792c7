#!/usr/bin/env python3
"""Makes the test vectors from the contract; docs/clients.md says how clients use them.

    make.py --set BUILD/generated/set.pb [--check]

messages.json   every message, empty, filled, and with extreme values, as JSON and as bytes
frames.json     whole frames: the envelope as JSON and bytes, and what travels over ipc and tcp
calls.json      a conversation with a fresh database (conversation.py) with the requests' bytes

--check: write nothing, fail unless the protobuf library still makes the same bytes of every vector:
what was said once must be understood for ever. New messages may wait for the next run without it.
"""

import argparse
import json
import os
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from conversation import CONVERSATION

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGE = "chatstore.v1"
TIMESTAMP = "google.protobuf.Timestamp"
Field = descriptor_pb2.FieldDescriptorProto
TEXT = 'naïve "text" \U0001f600\n\u4e2d'
EXTREMES = {
    Field.TYPE_INT64: (1 << 63) - 1, Field.TYPE_INT32: -(1 << 31), Field.TYPE_UINT32: (1 << 32) - 1,
    Field.TYPE_BOOL: True, Field.TYPE_DOUBLE: -1.5e300, Field.TYPE_STRING: TEXT,
    Field.TYPE_BYTES: bytes(range(256)),
}


class Contract:
    """The messages and calls of a descriptor set."""

    def __init__(self, path):
        files = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as file:
            files.ParseFromString(file.read())
        self.pool = descriptor_pool.DescriptorPool()
        self.names = []
        self.calls = {}
        for file in files.file:
            self.pool.Add(self._plain(file))
            if file.package == PACKAGE and not file.name.endswith("options.proto"):
                self.names += [f"{PACKAGE}.{each.name}" for each in file.message_type]
            for service in file.service:
                for rpc in service.method:
                    self.calls[rpc.name] = (f"/{PACKAGE}.{service.name}/{rpc.name}",
                                            rpc.input_type[1:], rpc.output_type[1:])

    @staticmethod
    def _plain(file):
        """Without options, which need not be known here."""
        for message in file.message_type:
            for field in message.field:
                field.ClearField("options")
        for service in file.service:
            for rpc in service.method:
                rpc.ClearField("options")
        return file

    def new(self, name):
        descriptor = self.pool.FindMessageTypeByName(name)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)()
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)()


def fill(message, extreme):
    """A value in every field: small different ones, or the ends of the types."""
    for field in message.DESCRIPTOR.fields:
        repeated = is_repeated(field)
        if field.message_type is not None and field.message_type.full_name == TIMESTAMP:
            time = getattr(message, field.name)
            # 9999-12-31 23:59:59.999999 and 1969-07-20 20:17:40
            time.seconds, time.nanos = (253402300799, 999999000) if extreme else (-14182940, 0)
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            for _ in range(2 if repeated else 1):
                fill(inner.add() if repeated else inner, extreme)
        elif repeated:
            getattr(message, field.name).extend([plain_value(field, extreme), ""])
        else:
            setattr(message, field.name, plain_value(field, extreme))


def is_repeated(field):
    # Newer libraries have no label, older ones no is_repeated.
    known = getattr(field, "is_repeated", None)
    return field.label == Field.LABEL_REPEATED if known is None else known


def plain_value(field, extreme):
    if extreme:
        return EXTREMES[field.type]
    if field.type == Field.TYPE_STRING:
        return field.name
    if field.type == Field.TYPE_BYTES:
        return field.name.encode()
    if field.type == Field.TYPE_DOUBLE:
        return field.number + 0.25
    if field.type == Field.TYPE_BOOL:
        return True
    return -1000 - field.number if field.type == Field.TYPE_INT64 else field.number


def as_json(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def as_hex(message):
    return message.SerializeToString(deterministic=True).hex()


def message_vectors(contract):
    for name in contract.names:
        for case in ("empty", "filled", "extreme"):
            message = contract.new(name)
            if case != "empty":
                fill(message, case == "extreme")
            if case == "empty" or message.DESCRIPTOR.fields:
                yield {"message": name.rpartition(".")[2], "case": case,
                       "json": as_json(message), "hex": as_hex(message)}


def frame_vector(name, direction, number, envelope):
    body = struct.pack(">I", 0x80000000 | number) + envelope.SerializeToString(deterministic=True)
    tcp = struct.pack(">Q", len(body)) + body
    return {"name": name, "direction": direction, "id": number, "envelope": as_json(envelope),
            "tcp": tcp.hex(), "ipc": (b"\x01" + tcp).hex()}


def frame_vectors(contract):
    request = contract.new(f"{PACKAGE}.Request")
    user = contract.new(f"{PACKAGE}.GetChatUserRequest")
    user.chat_id, user.user_id = -1001, 7
    request.calls.add(method=contract.calls["GetChatUser"][0], timeout_ms=5000,
                      payload=user.SerializeToString())
    yield frame_vector("one read", "request", 0, request)
    request.token = "secret"
    setting = contract.new(f"{PACKAGE}.SetSettingRequest")
    setting.key, setting.value = "key", ""
    request.calls.add(method=contract.calls["SetSetting"][0], timeout_ms=1,
                      payload=setting.SerializeToString(),
                      request_id="5e7a1c3b-0f5d-4c55-9d1c-6f0f3b1a2c4d")
    yield frame_vector("a read and a write, with a token", "request", 0x7FFFFFFF, request)
    reply = contract.new(f"{PACKAGE}.Reply")
    reply.results.add(source="default")
    yield frame_vector("an empty answer", "reply", 0, reply)
    failed = reply.results.add(source="archive")
    failed.status.code, failed.status.message = 9, "source archive is readonly"
    merged = reply.results.add(merged_sources=["default", "archive"])
    merged.failed_sources.add(source="broken", code=14, message="no such file")
    yield frame_vector("three results", "reply", 0x7FFFFFFF, reply)


def call_vectors(contract):
    for method, values, status, answer in CONVERSATION:
        path, request_name, response_name = contract.calls[method]
        request = json_format.ParseDict(values, contract.new(request_name))
        if answer is not None:
            answer = as_json(json_format.ParseDict(answer, contract.new(response_name)))
        yield {"method": path, "request": as_json(request), "request_hex": as_hex(request),
               "status": status, "response": answer}


def text_of(vectors):
    lines = [json.dumps(each, sort_keys=True) for each in vectors]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def path_of(name):
    return os.path.join(FOLDER, name + ".json")


def write(contract):
    for name, make in (("messages", message_vectors), ("frames", frame_vectors),
                       ("calls", call_vectors)):
        with open(path_of(name), "w", encoding="utf-8") as file:
            file.write(text_of(make(contract)))


def find_changed(contract):
    """What a vector is of, for each whose bytes are others today."""
    cases = []
    with open(path_of("messages"), encoding="utf-8") as file:
        cases += [(f"{PACKAGE}.{each['message']}", each["json"], each["hex"])
                  for each in json.load(file)]
    with open(path_of("calls"), encoding="utf-8") as file:
        cases += [(contract.calls[each["method"].rpartition("/")[2]][1], each["request"],
                   each["request_hex"]) for each in json.load(file)]
    for name, values, data in cases:
        if as_hex(json_format.ParseDict(values, contract.new(name))) != data:
            yield name


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    contract = Contract(options.set)
    if not options.check:
        write(contract)
        return
    changed = sorted(set(find_changed(contract)))
    if changed:
        sys.exit(f"The wire format of these messages changed, old clients would not understand: "
                 f"{', '.join(changed)}")


if __name__ == "__main__":
    main()
