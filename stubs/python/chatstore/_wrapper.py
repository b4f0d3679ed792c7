"""What DatabaseWrapper stands on: its configuration, its rows, and the two ways to the databases."""

from __future__ import annotations

import json
import logging
import os
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from chatstore import calls, codec
from chatstore.attempts import read_result
from chatstore.codec import varint
from chatstore.contract import Call, Field, Message, Outcome
from chatstore.enums import MediaStatus, MessageCategory, SpamReason
from chatstore.errors import Internal, InvalidArgument
from chatstore.sync import SyncClient

logger = logging.getLogger("chatstore.wrapper")

KNOWN_VALUES: dict[tuple[str, str], type[Any]] = {
    ("ChatMessage", "message_category"): MessageCategory,
    ("MediaAttachment", "status"): MediaStatus,
    ("SpamMessage", "reason"): SpamReason,
}
POOL_SIZE_MAX = 1000
LOCK_TIMEOUT_MAX_S = 86400.0
# In this process nobody has to be protected from a large answer or a long call.
EMBEDDED_LIMITS = """
[service.limits]
frame_bytes = 1073741824
reply_bytes = 1073741824
timeout_ms = 3600000
merge_ms = 600000
"""


# ---- Rows ----

@cache
def row_decoder(message: Message, prefix: str = "") -> codec.Decoder:
    """To dictionaries as bots know them: naive times, enums, a message's media as media_* keys."""
    return codec.Decoder(message.name, None, [_field(message, each, prefix) for each in
                                              message.fields])


def _field(message: Message, field: Field, prefix: str) -> codec.DecoderField:
    flat = message.name == "ChatMessage" and field.name == "media"
    kind = KNOWN_VALUES.get((message.name, field.name))
    known = {str(each.value): each for each in kind} if kind is not None else None
    inner = None
    if field.message is not None:
        inner = row_decoder(field.message, f"{field.name}_" if flat else "")
    return (field.number, prefix + field.name, codec.KINDS[field.kind], field.repeated,
            field.presence, inner, known, flat)


class Plan:
    """A call as the wrapper makes it."""

    __slots__ = ("call", "decoder", "encoder", "answer", "method")

    def __init__(self, call: Call[Any]) -> None:
        self.call = call
        self.encoder = call.request.encoder
        self.decoder = row_decoder(call.response)
        self.answer = call.answer
        name = call.method.encode()
        self.method = b"\x0a" + varint(len(name)) + name

    def coerced(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as SQLite would have converted them for their columns."""
        fields = {each.name: each for each in self.call.request.fields}
        return {name: _coerce(fields[name], value) for name, value in values.items()}


def _coerce(field: Field, value: Any) -> Any:
    if value is None or field.repeated:
        return value
    if field.kind in ("int64", "int32") and isinstance(value, (str, float)):
        return int(value)
    if field.kind == "string" and isinstance(value, (bool, float)):
        return str(int(value)) if isinstance(value, bool) else str(value)
    if field.kind == "double" and isinstance(value, str):
        return float(value)
    return value


# ---- The ways to the databases ----

class Backend(Protocol):
    """Runs calls; raises what went wrong."""

    def run(self, plan: Plan, values: dict[str, Any]) -> Any:
        """Field 1 of the response."""

    def close(self) -> None:
        """A second time does no harm."""


class EmbeddedBackend:
    """The engine in this process."""

    def __init__(self, configuration: str) -> None:
        if codec.native is None:
            raise Internal("this installation has no chatstore._native, which holds the engine")
        self._engine = codec.native.Engine("embedded:" + configuration)

    def run(self, plan: Plan, values: dict[str, Any]) -> Any:
        """Field 1 of the response."""
        answer, reply = self._engine.run(
            plan.method, plan.encoder, plan.decoder, plan.answer, values, 0)
        return answer if reply is None else read_answer(plan, reply)

    def close(self) -> None:
        """Wait for what runs and close the files."""
        self._engine.close()


class RemoteBackend:
    """A server, by a configuration with the key "url"."""

    def __init__(self, config: Mapping[str, Any], connections: int, timeout: float) -> None:
        self._client = SyncClient(
            str(config["url"]), token=config.get("token"),
            timeout=float(config.get("timeout", timeout)), ssl=tls_context(config),
            connections_max=max(1, connections))

    def run(self, plan: Plan, values: dict[str, Any]) -> Any:
        """Field 1 of the response."""
        outcome = Outcome()
        payload = self._client.exchange(plan.call, values, outcome=outcome)
        log_failed_sources(plan, outcome)
        return plan.decoder.decode(payload).get(plan.answer)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def read_answer(plan: Plan, reply: bytes) -> Any:
    """Of a reply that has more to say than an answer."""
    outcome = Outcome()
    payload = read_result(plan.call.name, reply, outcome)
    log_failed_sources(plan, outcome)
    return plan.decoder.decode(payload).get(plan.answer)


def log_failed_sources(plan: Plan, outcome: Outcome) -> None:
    for failure in outcome.failed_sources:
        logger.warning("%s goes on without source %s: %s", plan.call.name, failure.source,
                       failure.message)


# ---- Configuration ----

def tls_context(config: Mapping[str, Any]) -> ssl.SSLContext | None:
    """As the files "ca", "cert" and "key" say; None: what the system trusts."""
    context: ssl.SSLContext | None = config.get("ssl")
    ca, cert, key = (config.get(name) for name in ("ca", "cert", "key"))
    if context is not None or (ca is None and cert is None and key is None):
        return context
    if (cert is None) != (key is None):
        raise InvalidArgument('a certificate and its key belong together: "cert" and "key"')
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise InvalidArgument(
            f"the certificates cannot be read ({ca}, {cert}, {key}): {error}") from None
    return context


def check_config(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sources of the wrapper's dictionary; raises ValueError for what cannot be."""
    sources = config.get("sources")
    if not sources or not isinstance(sources, Mapping):
        raise InvalidArgument("config needs sources: {name: {\"path\": ...}, ...}")
    for name, source in sources.items():
        if not isinstance(source, Mapping) or not source.get("path"):
            raise InvalidArgument(f'source "{name}" needs a path')
    default = config.get("default", "default")
    if default not in sources:
        raise InvalidArgument(
            f'the default source "{default}" is none of the sources: {", ".join(sources)}')
    return dict(sources)


def mapping_of(config: Mapping[str, Any]) -> dict[int, str]:
    """Chat ids to names of sources; what names no source is logged and left out."""
    mapping: dict[int, str] = {}
    for chat, name in (config.get("chatMapping") or {}).items():
        try:
            chat_id = int(chat)
        except (TypeError, ValueError):
            logger.warning('chatMapping: "%s" is no chat id; it is ignored', chat)
            continue
        if name not in config["sources"]:
            logger.warning(
                'chatMapping: chat %s is mapped to "%s", which is no source; it is ignored',
                chat, name)
            continue
        mapping[chat_id] = name
    return mapping


def toml_text(value: str) -> str:
    """A TOML string."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def configuration_text(config: Mapping[str, Any], connections: int, timeout: float) -> str:
    """The wrapper's dictionary as chatstore's configuration; raises ValueError."""
    sources = check_config(config)
    default = str(config.get("default", "default"))
    lines = ["[database]", f"default = {toml_text(default)}"]
    for name, source in sources.items():
        lines.append(f"[database.sources.{toml_text(str(name))}]")
        lines += _source_lines(source, connections, timeout)
    lines.append("[database.chatMapping]")
    lines += [f'"{chat}" = {toml_text(name)}' for chat, name in mapping_of(config).items()]
    return "\n".join(lines) + "\n" + EMBEDDED_LIMITS


def _source_lines(source: Mapping[str, Any], connections: int, timeout: float) -> list[str]:
    path = os.fspath(source["path"])
    if path != ":memory:":
        path = os.path.abspath(path)
    pool_size = int(source.get("pool-size", connections))
    lock_timeout = float(source.get("timeout", timeout))
    lines = [
        f"path = {toml_text(path)}",
        f"pool-size = {min(max(pool_size, 1), POOL_SIZE_MAX)}",
        f"timeout = {min(max(lock_timeout, 0.001), LOCK_TIMEOUT_MAX_S):.3f}",
    ]
    if source.get("readonly", False):
        lines.append("readonly = true")
    for name in ("journal-mode", "synchronous"):
        if name in source:
            lines.append(f"{name} = {toml_text(str(source[name]))}")
    return lines
