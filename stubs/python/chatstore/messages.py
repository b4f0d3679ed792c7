"""The messages of the contract as classes of the protobuf library, for those who want them.

    from chatstore import messages

    request = messages.get("GetChatUserRequest")(chat_id=-1001, user_id=7)

They are made when they are first asked for, from the descriptor set that comes with the package, by
whatever protobuf library is installed: nothing is compiled for one version of it. Nothing else in
the package needs that library.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module, resources
from typing import Any

PACKAGE = "chatstore.v1"


def descriptor_set_bytes() -> bytes:
    """The contract as an encoded google.protobuf.FileDescriptorSet, comments included."""
    return resources.files("chatstore").joinpath("descriptor_set.pb").read_bytes()


@cache
def pool() -> Any:
    """A descriptor pool with the contract."""
    descriptor_pb2 = import_module("google.protobuf.descriptor_pb2")
    descriptor_pool = import_module("google.protobuf.descriptor_pool")
    made = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set_bytes()).file:
        made.Add(file)
    return made


@cache
def get(name: str) -> Any:
    """The class of the message of this name, bare or with its package."""
    message_factory = import_module("google.protobuf.message_factory")
    whole = name if "." in name else f"{PACKAGE}.{name}"
    descriptor = pool().FindMessageTypeByName(whole)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool()).GetPrototype(descriptor)
