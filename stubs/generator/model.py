"""The contract as the emitters see it: calls, messages and fields with their options and comments.

Read from a descriptor set (protoc --include_imports --include_source_info). What is wrong with it
is collected in Problems as "file:line: error: text", so that one run shows every mistake.
"""

import os
import re
from dataclasses import dataclass, field

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "chatstore.v1"
OPTIONS_FILE = "chatstore/v1/options.proto"
HIDDEN_FILES = {OPTIONS_FILE, "google/protobuf/descriptor.proto"}

FieldProto = descriptor_pb2.FieldDescriptorProto
INTEGER_TYPES = {
    getattr(FieldProto, "TYPE_" + name)
    for name in "INT32 INT64 UINT32 UINT64 SINT32 SINT64 FIXED32 FIXED64 SFIXED32 SFIXED64".split()
}


class Problems:
    """Mistakes found, in the order of their places."""

    def __init__(self):
        self._found = []

    def add(self, place, text):
        """place: (path, line)."""
        self._found.append((*place, text))

    def lines(self):
        return [f"{path}:{line}: error: {text}" for path, line, text in sorted(self._found)]


@dataclass
class Field:
    proto: object
    comment: str
    place: tuple
    rules: object
    index: int = 0  # in protobuf-c's array of descriptors, which is in the order of the numbers
    message: object = None  # the Message of a message field

    @property
    def name(self):
        return self.proto.name

    @property
    def repeated(self):
        return self.proto.label == FieldProto.LABEL_REPEATED

    @property
    def type_name(self):
        if self.message:
            return self.message.name
        return FieldProto.Type.Name(self.proto.type)[len("TYPE_"):].lower()

    @property
    def has_presence(self):
        return self.proto.proto3_optional or (self.message is not None and not self.repeated)


@dataclass
class Message:
    full_name: str
    comment: str
    place: tuple
    fields: list = field(default_factory=list)

    @property
    def name(self):
        return self.full_name.rpartition(".")[2]

    def find(self, name):
        return next((each for each in self.fields if each.name == name), None)


@dataclass
class Call:
    name: str
    service: str
    comment: str
    place: tuple
    options: object
    request: Message = None
    response: Message = None

    @property
    def method(self):
        return f"/{PACKAGE}.{self.service}/{self.name}"

    def option(self, name):
        """The declared value of an enum option without its prefix: "CHAT", "WRITE", "POINT"."""
        number = getattr(self.options, name)
        enum = self.options.DESCRIPTOR.fields_by_name[name].enum_type
        return enum.values_by_number[number].name.partition("_")[2]

    @property
    def row_message(self):
        """The message in the response's field 1, or None."""
        return self.response.fields[0].message if self.response.fields else None


@dataclass
class Service:
    name: str
    comment: str
    calls: list = field(default_factory=list)


def snake(name):
    """GetChatUser -> get_chat_user, by protobuf-c's own rule."""
    return re.sub(r"(?<=[a-z0-9_])([A-Z])", r"_\1", name).lower()


class Contract:
    """What a descriptor set says. services: in file order; messages: by full name."""

    def __init__(self, descriptor_set, proto_dir):
        self.descriptor_set = descriptor_set
        self.services = []
        self.messages = {}
        self._proto_dir = proto_dir
        self._options = _OptionReader(descriptor_set)
        files = [each for each in descriptor_set.file if each.name not in HIDDEN_FILES]
        for file in files:
            self._read_messages(file)
        self._link_fields()
        for file in files:
            self._read_services(file)

    @property
    def calls(self):
        """All calls in the order of the call table."""
        calls = [call for service in self.services for call in service.calls]
        return sorted(calls, key=lambda call: call.method.encode())

    def _read_messages(self, file):
        source = _Source(file, self._proto_dir)
        for i, proto in enumerate(file.message_type):
            self._read_message(proto, file.package, source, (4, i))

    def _read_message(self, proto, scope, source, path):
        full_name = f"{scope}.{proto.name}"
        message = Message(full_name, source.comment(path), source.place(path))
        for i, each in enumerate(proto.field):
            at = path + (2, i)
            rules = self._options.rules(each)
            message.fields.append(Field(each, source.comment(at), source.place(at), rules))
        message.fields.sort(key=lambda each: each.proto.number)
        for index, each in enumerate(message.fields):
            each.index = index
        self.messages[full_name] = message
        for i, nested in enumerate(proto.nested_type):
            self._read_message(nested, full_name, source, path + (3, i))

    def _link_fields(self):
        for message in self.messages.values():
            for each in message.fields:
                if each.proto.type == FieldProto.TYPE_MESSAGE:
                    each.message = self.messages[each.proto.type_name[1:]]

    def _read_services(self, file):
        source = _Source(file, self._proto_dir)
        for i, proto in enumerate(file.service):
            service = Service(proto.name, source.comment((6, i)))
            self.services.append(service)
            for j, rpc in enumerate(proto.method):
                at = (6, i, 2, j)
                call = Call(rpc.name, proto.name, source.comment(at), source.place(at),
                            self._options.call(rpc))
                call.request = self.messages[rpc.input_type[1:]]
                call.response = self.messages[rpc.output_type[1:]]
                service.calls.append(call)


class _Source:
    """Places and comments of one file's elements, by their path in the descriptor."""

    def __init__(self, file, proto_dir):
        self._path = os.path.join(proto_dir, file.name)
        self._locations = {tuple(each.path): each for each in file.source_code_info.location}

    def place(self, path):
        location = self._locations.get(path)
        return (self._path, location.span[0] + 1 if location else 1)

    def comment(self, path):
        location = self._locations.get(path)
        text = location.leading_comments if location else ""
        return " ".join(line.strip() for line in text.splitlines()).strip()


def _message_class(descriptor, pool):
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


class _OptionReader:
    """Decodes our custom options.

    The Python protobuf keeps unknown options as bytes; they are read through a message made here
    that has a normal field where the extension is, which works with every implementation of the
    library (registered extensions do not).
    """

    def __init__(self, descriptor_set):
        file = next((f for f in descriptor_set.file if f.name == OPTIONS_FILE), None)
        self._classes = {}
        if file is None:
            return
        pool = descriptor_pool.DescriptorPool()
        for each in descriptor_set.file:
            if each.name in HIDDEN_FILES:
                pool.Add(each)
        pool.Add(self._carrier_file(file))
        for extension in file.extension:
            descriptor = pool.FindMessageTypeByName(f"generator.{extension.name}")
            self._classes[extension.name] = _message_class(descriptor, pool)

    @staticmethod
    def _carrier_file(file):
        carrier = descriptor_pb2.FileDescriptorProto(
            name="generator.proto", package="generator", syntax="proto3",
            dependency=[OPTIONS_FILE])
        for extension in file.extension:
            message = carrier.message_type.add(name=extension.name)
            message.field.add(name="value", number=extension.number, type=extension.type,
                              label=extension.label, type_name=extension.type_name)
        return carrier

    def _read(self, name, options):
        if name not in self._classes:
            return None
        carrier = self._classes[name].FromString(options.SerializeToString())
        return carrier.value if carrier.HasField("value") else None

    def call(self, rpc):
        return self._read("call", rpc.options)

    def rules(self, proto):
        return self._read("rules", proto.options)
