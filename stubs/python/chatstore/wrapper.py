"""DatabaseWrapper: the class that bots know, on chatstore.

    from chatstore.wrapper import DatabaseWrapper

    db = DatabaseWrapper("bot.db")                              # in this process, no server
    db = DatabaseWrapper(config={"default": "main", "sources": {"main": {"path": "bot.db"}}})
    db = DatabaseWrapper("tcp://10.0.0.5:5555")                 # a server
    db = DatabaseWrapper(config={"url": "ipc:///run/chatstore/chatstore.sock", "token": "..."})

Names, arguments and answers are the wrapper's own. No call raises for a failure of a database or a
server: it is logged (logger "chatstore.wrapper") and the empty answer of its kind is given. Any
number of threads may use one object.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from chatstore import calls
from chatstore._wrapper import (
    Backend, EmbeddedBackend, Plan, RemoteBackend, configuration_text, logger,
)
from chatstore.contract import Call
from chatstore.enums import CacheType, MediaStatus, MessageCategory, MessageType, SpamReason
from chatstore.errors import InvalidArgument
from chatstore.urls import is_url

__all__ = [
    "CacheType", "DatabaseWrapper", "MediaStatus", "MessageCategory", "MessageType", "SpamReason",
]

Row = dict[str, Any]
MessageId = int | str
LIMIT_MAX = (1 << 31) - 1

PLANS: dict[str, Plan] = {}


def plan_of(call: Call[Any]) -> Plan:
    """Made when a call is first used."""
    plan = PLANS.get(call.name)
    if plan is None:
        plan = PLANS[call.name] = Plan(call)
    return plan


def open_backend(
    db_path: str | None, connections: int, timeout: float, config: Mapping[str, Any] | None
) -> Backend:
    """Raises ValueError for arguments that cannot be."""
    if (db_path is None) == (config is None):
        raise InvalidArgument("give either dbPath or config, and not both")
    if config is None:
        assert db_path is not None
        if isinstance(db_path, str) and is_url(db_path):
            config = {"url": db_path}
        else:
            if not db_path:
                raise InvalidArgument("dbPath is empty")
            config = {"sources": {"default": {"path": db_path}}}
    if config.get("url") is None:
        return EmbeddedBackend(configuration_text(config, connections, timeout))
    return RemoteBackend(config, connections, timeout)


def row_limit(limit: int | None) -> int:
    """None and negative limits are none at all."""
    return LIMIT_MAX if limit is None or limit < 0 else min(limit, LIMIT_MAX)


class DatabaseWrapper:
    """The databases of a bot, in this process or behind a server.

    Args:
        dbPath: a file, ":memory:", or the URL of a server.
        maxConnections: connections that read at the same time, of each source that says nothing
            else.
        timeout: seconds to wait for a lock or for a server.
        config: {"default", "sources", "chatMapping"} or {"url", "token", "timeout"}; with a
            tls+tcp URL also the files "ca" (default: the system's), "cert" and "key", or "ssl", a
            context of Python's.

    Raises:
        ValueError: both or neither of dbPath and config; no sources; a source without a path; a
            default that is no source; a URL or certificates that cannot be.
    """

    def __init__(
        self,
        dbPath: str | None = None,
        maxConnections: int = 5,
        timeout: float = 30.0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._backend = open_backend(dbPath, maxConnections, timeout, config)
        self._finalizer = weakref.finalize(self, self._backend.close)

    def close(self) -> None:
        """Close everything; a second time does no harm."""
        self._finalizer()

    def __enter__(self) -> DatabaseWrapper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def getCursor(self, *args: Any, **kwargs: Any) -> Any:
        """Not to be had."""
        raise NotImplementedError(
            "chatstore gives no cursor: raw SQL beside it would bring a second SQLite into this "
            "process, and two SQLite libraries on one file drop each other's locks. Use the calls "
            "of DatabaseWrapper.")

    # ---- How calls are made ----

    def call(self, call: Call[Any], values: Row) -> Any:
        """A call of chatstore.calls, which answers field 1 of its response; raises its failures."""
        plan = plan_of(call)
        try:
            return self._backend.run(plan, values)
        except TypeError:
            return self._backend.run(plan, plan.coerced(values))

    def _write(self, call: Call[Any], values: Row) -> bool:
        try:
            self.call(call, values)
        except Exception as error:  # pylint: disable=broad-except
            logger.error("%s failed: %s", call.name, error)
            return False
        return True

    def _one(self, call: Call[Any], values: Row) -> Row | None:
        try:
            row: Row | None = self.call(call, values)
        except Exception as error:  # pylint: disable=broad-except
            logger.error("%s failed: %s", call.name, error)
            return None
        return row

    def _rows(self, call: Call[Any], values: Row) -> list[Row]:
        try:
            rows: list[Row] = self.call(call, values)
        except Exception as error:  # pylint: disable=broad-except
            logger.error("%s failed: %s", call.name, error)
            return []
        return rows

    def _value(self, call: Call[Any], values: Row, otherwise: str | None = None) -> str | None:
        try:
            value: str | None = self.call(call, values)
        except Exception as error:  # pylint: disable=broad-except
            logger.error("%s failed: %s", call.name, error)
            return otherwise
        return value

    # ---- Settings ----

    def setSetting(self, key: str, value: str | None, *, dataSource: str | None = None) -> bool:
        return self._write(calls.SET_SETTING, {
            "key": key, "value": value, "data_source": dataSource or ""})

    def getSetting(
        self, key: str, default: str | None = None, *, dataSource: str | None = None
    ) -> str | None:
        return self._value(calls.GET_SETTING, {
            "key": key, "default_value": default, "data_source": dataSource or ""}, default)

    def getSettings(self, *, dataSource: str | None = None) -> dict[str, str | None]:
        rows = self._rows(calls.GET_SETTINGS, {"data_source": dataSource or ""})
        return {row["key"]: row["value"] for row in rows}

    # ---- Messages ----

    def saveChatMessage(
        self,
        date: datetime,
        chatId: int,
        userId: int,
        messageId: MessageId,
        replyId: MessageId | None = None,
        threadId: int | None = None,
        messageText: str = "",
        messageType: str = "text",
        messageCategory: str = "unspecified",
        rootMessageId: MessageId | None = None,
        quoteText: str | None = None,
        mediaId: str | None = None,
    ) -> bool:
        return self._write(calls.SAVE_CHAT_MESSAGE, {
            "date": date, "chat_id": chatId, "user_id": userId, "message_id": messageId,
            "reply_id": replyId, "thread_id": threadId or 0, "message_text": messageText,
            "message_type": messageType, "message_category": messageCategory,
            "root_message_id": rootMessageId, "quote_text": quoteText, "media_id": mediaId})

    def getChatMessagesSince(
        self,
        chatId: int,
        sinceDateTime: datetime | None = None,
        tillDateTime: datetime | None = None,
        threadId: int | None = None,
        limit: int | None = None,
        messageCategory: Iterable[str] | None = None,
        *,
        dataSource: str | None = None,
    ) -> list[Row]:
        categories: list[str] = []
        if messageCategory is not None:
            categories = ([messageCategory] if isinstance(messageCategory, str)
                          else list(messageCategory))
            if not categories:
                return []
        if limit == 0:
            return []
        return self._rows(calls.GET_CHAT_MESSAGES_SINCE, {
            "chat_id": chatId, "since": sinceDateTime, "till": tillDateTime,
            "thread_id": threadId, "limit": row_limit(limit), "message_category": categories,
            "data_source": dataSource or ""})

    def getChatMessageByMessageId(
        self, chatId: int, messageId: MessageId, *, dataSource: str | None = None
    ) -> Row | None:
        return self._one(calls.GET_CHAT_MESSAGE_BY_MESSAGE_ID, {
            "chat_id": chatId, "message_id": messageId, "data_source": dataSource or ""})

    def getChatMessagesByRootId(
        self,
        chatId: int,
        rootMessageId: MessageId,
        threadId: int | None = None,
        *,
        dataSource: str | None = None,
    ) -> list[Row]:
        return self._rows(calls.GET_CHAT_MESSAGES_BY_ROOT_ID, {
            "chat_id": chatId, "root_message_id": rootMessageId, "thread_id": threadId,
            "data_source": dataSource or ""})

    def getChatMessagesByUser(
        self, chatId: int, userId: int, limit: int = 100, *, dataSource: str | None = None
    ) -> list[Row]:
        if limit == 0:
            return []
        return self._rows(calls.GET_CHAT_MESSAGES_BY_USER, {
            "chat_id": chatId, "user_id": userId, "limit": row_limit(limit),
            "data_source": dataSource or ""})

    def updateChatMessageCategory(
        self, chatId: int, messageId: MessageId, messageCategory: str
    ) -> bool:
        return self._write(calls.UPDATE_CHAT_MESSAGE_CATEGORY, {
            "chat_id": chatId, "message_id": messageId, "message_category": messageCategory})

    # ---- Chat users ----

    def updateChatUser(self, chatId: int, userId: int, username: str, fullName: str) -> bool:
        return self._write(calls.UPDATE_CHAT_USER, {
            "chat_id": chatId, "user_id": userId, "username": username, "full_name": fullName})

    def getChatUser(
        self, chatId: int, userId: int, *, dataSource: str | None = None
    ) -> Row | None:
        return self._one(calls.GET_CHAT_USER, {
            "chat_id": chatId, "user_id": userId, "data_source": dataSource or ""})

    def markUserIsSpammer(self, chatId: int, userId: int, isSpammer: bool) -> bool:
        return self._write(calls.MARK_USER_IS_SPAMMER, {
            "chat_id": chatId, "user_id": userId, "is_spammer": isSpammer})

    def updateUserMetadata(self, chatId: int, userId: int, metadata: str) -> bool:
        return self._write(calls.UPDATE_USER_METADATA, {
            "chat_id": chatId, "user_id": userId, "metadata": metadata})

    def getChatUserByUsername(
        self, chatId: int, username: str, *, dataSource: str | None = None
    ) -> Row | None:
        return self._one(calls.GET_CHAT_USER_BY_USERNAME, {
            "chat_id": chatId, "username": username, "data_source": dataSource or ""})

    def getChatUsers(
        self,
        chatId: int,
        limit: int = 10,
        seenSince: datetime | None = None,
        *,
        dataSource: str | None = None,
    ) -> list[Row]:
        if limit == 0:
            return []
        return self._rows(calls.GET_CHAT_USERS, {
            "chat_id": chatId, "limit": row_limit(limit), "seen_since": seenSince,
            "data_source": dataSource or ""})

    def getUserChats(self, userId: int, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_USER_CHATS, {
            "user_id": userId, "data_source": dataSource or ""})

    # ---- Chats and topics ----

    def getAllGroupChats(self, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_ALL_GROUP_CHATS, {"data_source": dataSource or ""})

    def updateChatInfo(
        self,
        chatId: int,
        type: str,
        title: str | None = None,
        username: str | None = None,
        isForum: bool = False,
    ) -> bool:
        return self._write(calls.UPDATE_CHAT_INFO, {
            "chat_id": chatId, "type": type, "title": title, "username": username,
            "is_forum": bool(isForum)})

    def getChatInfo(self, chatId: int, *, dataSource: str | None = None) -> Row | None:
        return self._one(calls.GET_CHAT_INFO, {
            "chat_id": chatId, "data_source": dataSource or ""})

    def updateChatTopicInfo(
        self,
        chatId: int,
        topicId: int,
        iconColor: int | None = None,
        customEmojiId: str | None = None,
        topicName: str | None = None,
    ) -> bool:
        return self._write(calls.UPDATE_CHAT_TOPIC_INFO, {
            "chat_id": chatId, "topic_id": topicId, "icon_color": iconColor,
            "custom_emoji_id": customEmojiId, "topic_name": topicName})

    def getChatTopics(self, chatId: int, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_CHAT_TOPICS, {
            "chat_id": chatId, "data_source": dataSource or ""})

    # ---- User data and chat settings ----

    def addUserData(self, userId: int, chatId: int, key: str, data: str) -> bool:
        return self._write(calls.ADD_USER_DATA, {
            "user_id": userId, "chat_id": chatId, "key": key, "data": data})

    def getUserData(
        self, userId: int, chatId: int, *, dataSource: str | None = None
    ) -> dict[str, str]:
        rows = self._rows(calls.GET_USER_DATA, {
            "user_id": userId, "chat_id": chatId, "data_source": dataSource or ""})
        return {row["key"]: row["data"] for row in rows}

    def deleteUserData(self, userId: int, chatId: int, key: str) -> bool:
        return self._write(calls.DELETE_USER_DATA, {
            "user_id": userId, "chat_id": chatId, "key": key})

    def clearUserData(self, userId: int, chatId: int) -> bool:
        return self._write(calls.CLEAR_USER_DATA, {"user_id": userId, "chat_id": chatId})

    def setChatSetting(self, chatId: int, key: str, value: str | None) -> bool:
        return self._write(calls.SET_CHAT_SETTING, {
            "chat_id": chatId, "key": key, "value": value})

    def unsetChatSetting(self, chatId: int, key: str) -> bool:
        return self._write(calls.UNSET_CHAT_SETTING, {"chat_id": chatId, "key": key})

    def clearChatSettings(self, chatId: int) -> bool:
        return self._write(calls.CLEAR_CHAT_SETTINGS, {"chat_id": chatId})

    def getChatSetting(
        self, chatId: int, setting: str, *, dataSource: str | None = None
    ) -> str | None:
        return self._value(calls.GET_CHAT_SETTING, {
            "chat_id": chatId, "setting": setting, "data_source": dataSource or ""})

    def getChatSettings(
        self, chatId: int, *, dataSource: str | None = None
    ) -> dict[str, str | None]:
        rows = self._rows(calls.GET_CHAT_SETTINGS, {
            "chat_id": chatId, "data_source": dataSource or ""})
        return {row["key"]: row["value"] for row in rows}

    # ---- Summaries ----

    def addChatSummarization(
        self,
        chatId: int,
        topicId: int | None,
        firstMessageId: MessageId,
        lastMessageId: MessageId,
        prompt: str,
        summary: str,
    ) -> bool:
        return self._write(calls.ADD_CHAT_SUMMARIZATION, {
            "chat_id": chatId, "topic_id": topicId, "first_message_id": firstMessageId,
            "last_message_id": lastMessageId, "prompt": prompt, "summary": summary})

    def getChatSummarization(
        self,
        chatId: int,
        topicId: int | None,
        firstMessageId: MessageId,
        lastMessageId: MessageId,
        prompt: str,
        *,
        dataSource: str | None = None,
    ) -> Row | None:
        return self._one(calls.GET_CHAT_SUMMARIZATION, {
            "chat_id": chatId, "topic_id": topicId, "first_message_id": firstMessageId,
            "last_message_id": lastMessageId, "prompt": prompt,
            "data_source": dataSource or ""})

    # ---- Media ----

    def addMediaAttachment(
        self,
        *,
        fileUniqueId: str,
        fileId: str,
        fileSize: int | None = None,
        mediaType: str = "image",
        mimeType: str | None = None,
        metadata: str = "{}",
        status: str = "new",
        localUrl: str | None = None,
        prompt: str | None = None,
        description: str | None = None,
    ) -> bool:
        return self._write(calls.ADD_MEDIA_ATTACHMENT, {
            "file_unique_id": fileUniqueId, "file_id": fileId, "file_size": fileSize,
            "media_type": mediaType, "mime_type": mimeType, "metadata": metadata,
            "status": status, "local_url": localUrl, "prompt": prompt,
            "description": description})

    def updateMediaAttachment(
        self,
        mediaId: str,
        *,
        fileSize: int | None = None,
        status: str | None = None,
        metadata: str | None = None,
        mimeType: str | None = None,
        localUrl: str | None = None,
        description: str | None = None,
        prompt: str | None = None,
    ) -> bool:
        return self._write(calls.UPDATE_MEDIA_ATTACHMENT, {
            "media_id": mediaId, "file_size": fileSize, "status": status, "metadata": metadata,
            "mime_type": mimeType, "local_url": localUrl, "description": description,
            "prompt": prompt})

    def getMediaAttachment(self, mediaId: str, *, dataSource: str | None = None) -> Row | None:
        return self._one(calls.GET_MEDIA_ATTACHMENT, {
            "media_id": mediaId, "data_source": dataSource or ""})

    # ---- Delayed tasks ----

    def addDelayedTask(self, taskId: str, function: str, kwargs: str, delayedTS: int) -> bool:
        return self._write(calls.ADD_DELAYED_TASK, {
            "task_id": taskId, "function": function, "kwargs": kwargs, "delayed_ts": delayedTS})

    def updateDelayedTask(self, id: str, isDone: bool) -> bool:
        return self._write(calls.UPDATE_DELAYED_TASK, {"id": id, "is_done": isDone})

    def getPendingDelayedTasks(self, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_PENDING_DELAYED_TASKS, {"data_source": dataSource or ""})

    # ---- Spam and ham ----

    def addSpamMessage(
        self,
        chatId: int,
        userId: int,
        messageId: MessageId,
        messageText: str,
        spamReason: str,
        score: float,
    ) -> bool:
        return self._write(calls.ADD_SPAM_MESSAGE, {
            "chat_id": chatId, "user_id": userId, "message_id": messageId,
            "message_text": messageText, "spam_reason": spamReason, "score": score})

    def addHamMessage(
        self,
        chatId: int,
        userId: int,
        messageId: MessageId,
        messageText: str,
        spamReason: str,
        score: float,
    ) -> bool:
        return self._write(calls.ADD_HAM_MESSAGE, {
            "chat_id": chatId, "user_id": userId, "message_id": messageId,
            "message_text": messageText, "spam_reason": spamReason, "score": score})

    def getSpamMessagesByText(self, text: str, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_SPAM_MESSAGES_BY_TEXT, {
            "text": text, "data_source": dataSource or ""})

    def getSpamMessages(
        self, limit: int = 1000, *, dataSource: str | None = None
    ) -> list[Row]:
        if limit == 0:
            return []
        return self._rows(calls.GET_SPAM_MESSAGES, {
            "limit": row_limit(limit), "data_source": dataSource or ""})

    def deleteSpamMessagesByUserId(self, chatId: int, userId: int) -> bool:
        return self._write(calls.DELETE_SPAM_MESSAGES_BY_USER_ID, {
            "chat_id": chatId, "user_id": userId})

    def getSpamMessagesByUserId(
        self, chatId: int, userId: int, *, dataSource: str | None = None
    ) -> list[Row]:
        return self._rows(calls.GET_SPAM_MESSAGES_BY_USER_ID, {
            "chat_id": chatId, "user_id": userId, "data_source": dataSource or ""})

    # ---- Caches ----

    def getCacheStorage(self, *, dataSource: str | None = None) -> list[Row]:
        return self._rows(calls.GET_CACHE_STORAGE, {"data_source": dataSource or ""})

    def setCacheStorage(self, namespace: str, key: str, value: str) -> bool:
        return self._write(calls.SET_CACHE_STORAGE, {
            "namespace": namespace, "key": key, "value": value})

    def unsetCacheStorage(self, namespace: str, key: str) -> bool:
        return self._write(calls.UNSET_CACHE_STORAGE, {"namespace": namespace, "key": key})

    def getCacheEntry(
        self,
        key: str,
        cacheType: str,
        ttl: int | None = None,
        *,
        dataSource: str | None = None,
    ) -> Row | None:
        return self._one(calls.GET_CACHE_ENTRY, {
            "key": key, "cache_type": cacheType, "ttl": ttl, "data_source": dataSource or ""})

    def setCacheEntry(self, key: str, data: str, cacheType: str) -> bool:
        return self._write(calls.SET_CACHE_ENTRY, {
            "key": key, "data": data, "cache_type": cacheType})

    def clearCache(self, cacheType: str) -> None:
        self._write(calls.CLEAR_CACHE, {"cache_type": cacheType})
