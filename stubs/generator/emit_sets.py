"""Descriptor sets made from the contract's: one for protoc-gen-c, one to carry in programs."""

from google.protobuf import descriptor_pb2

from model import HIDDEN_FILES


def for_protobuf_c(descriptor_set):
    """Without what protoc-gen-c 1.4.1 refuses or would generate needless code for.

    A proto3 `optional` is a member of a oneof of its own that is marked as synthetic; without the
    mark it is a plain oneof, which protobuf-c knows, and the wire is the same.
    """
    made = _without_options(descriptor_set)
    for file in made.file:
        for message in _messages(file.message_type):
            for field in message.field:
                field.ClearField("proto3_optional")
    return made


def for_programs(descriptor_set):
    """What a program needs to describe calls and to map messages to JSON: no places, only comments."""
    made = _without_options(descriptor_set)
    for file in made.file:
        commented = [each for each in file.source_code_info.location if each.leading_comments]
        del file.source_code_info.location[:]
        for location in commented:
            # libprotobuf passes over locations without a span.
            file.source_code_info.location.add(path=location.path, span=[0, 0, 0],
                                               leading_comments=location.leading_comments)
    return made


def _without_options(descriptor_set):
    made = descriptor_pb2.FileDescriptorSet()
    for file in descriptor_set.file:
        if file.name not in HIDDEN_FILES:
            _strip(made.file.add(), file)
    return made


def _strip(made, file):
    made.CopyFrom(file)
    kept = [name for name in file.dependency if name not in HIDDEN_FILES]
    del made.dependency[:]
    made.dependency.extend(kept)
    made.ClearField("public_dependency")
    made.ClearField("weak_dependency")
    for service in made.service:
        for method in service.method:
            method.ClearField("options")
    for message in _messages(made.message_type):
        for field in message.field:
            field.ClearField("options")


def _messages(messages):
    for message in messages:
        yield message
        yield from _messages(message.nested_type)
