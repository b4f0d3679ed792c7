"""DatabaseWrapper and the Bayes storage: one class of tests, run embedded and against a server."""

import asyncio
import hashlib
import inspect
import os
import shutil
import sqlite3
import threading
import unittest
from datetime import datetime, timedelta, timezone

import support

import chatstore
from chatstore import bayes
from chatstore.wrapper import (
    CacheType, DatabaseWrapper, MediaStatus, MessageCategory, MessageType, SpamReason,
)

CHAT, OTHER = -1001, -1002
DATE = datetime(2026, 1, 2, 3, 4, 5)
SIGNATURES = """
setSetting(key, value, *, dataSource=None)
getSetting(key, default=None, *, dataSource=None)
getSettings(*, dataSource=None)
saveChatMessage(date, chatId, userId, messageId, replyId=None, threadId=None, messageText='', messageType='text', messageCategory='unspecified', rootMessageId=None, quoteText=None, mediaId=None)
getChatMessagesSince(chatId, sinceDateTime=None, tillDateTime=None, threadId=None, limit=None, messageCategory=None, *, dataSource=None)
getChatMessageByMessageId(chatId, messageId, *, dataSource=None)
getChatMessagesByRootId(chatId, rootMessageId, threadId=None, *, dataSource=None)
getChatMessagesByUser(chatId, userId, limit=100, *, dataSource=None)
updateChatMessageCategory(chatId, messageId, messageCategory)
updateChatUser(chatId, userId, username, fullName)
getChatUser(chatId, userId, *, dataSource=None)
markUserIsSpammer(chatId, userId, isSpammer)
updateUserMetadata(chatId, userId, metadata)
getChatUserByUsername(chatId, username, *, dataSource=None)
getChatUsers(chatId, limit=10, seenSince=None, *, dataSource=None)
getUserChats(userId, *, dataSource=None)
getAllGroupChats(*, dataSource=None)
addUserData(userId, chatId, key, data)
getUserData(userId, chatId, *, dataSource=None)
deleteUserData(userId, chatId, key)
clearUserData(userId, chatId)
setChatSetting(chatId, key, value)
unsetChatSetting(chatId, key)
clearChatSettings(chatId)
getChatSetting(chatId, setting, *, dataSource=None)
getChatSettings(chatId, *, dataSource=None)
updateChatInfo(chatId, type, title=None, username=None, isForum=False)
getChatInfo(chatId, *, dataSource=None)
updateChatTopicInfo(chatId, topicId, iconColor=None, customEmojiId=None, topicName=None)
getChatTopics(chatId, *, dataSource=None)
addChatSummarization(chatId, topicId, firstMessageId, lastMessageId, prompt, summary)
getChatSummarization(chatId, topicId, firstMessageId, lastMessageId, prompt, *, dataSource=None)
addMediaAttachment(*, fileUniqueId, fileId, fileSize=None, mediaType='image', mimeType=None, metadata='{}', status='new', localUrl=None, prompt=None, description=None)
updateMediaAttachment(mediaId, *, fileSize=None, status=None, metadata=None, mimeType=None, localUrl=None, description=None, prompt=None)
getMediaAttachment(mediaId, *, dataSource=None)
addDelayedTask(taskId, function, kwargs, delayedTS)
updateDelayedTask(id, isDone)
getPendingDelayedTasks(*, dataSource=None)
addSpamMessage(chatId, userId, messageId, messageText, spamReason, score)
addHamMessage(chatId, userId, messageId, messageText, spamReason, score)
getSpamMessagesByText(text, *, dataSource=None)
getSpamMessages(limit=1000, *, dataSource=None)
deleteSpamMessagesByUserId(chatId, userId)
getSpamMessagesByUserId(chatId, userId, *, dataSource=None)
getCacheStorage(*, dataSource=None)
setCacheStorage(namespace, key, value)
unsetCacheStorage(namespace, key)
getCacheEntry(key, cacheType, ttl=None, *, dataSource=None)
setCacheEntry(key, data, cacheType)
clearCache(cacheType)
"""
MEDIA = ("file_unique_id", "file_id", "file_size", "media_type", "metadata", "status", "mime_type",
         "local_url", "prompt", "description", "created_at", "updated_at")


def plain(text):
    return " ".join(text.split())


class WrapperCases:
    """What bots rely on. open_sources() makes a wrapper on named sources, all writable but those
    whose name begins with "ro"; self.db is on one source."""

    def setUp(self):
        super().setUp()
        self.db = self.open_sources("default")

    def user(self, user=7, chat=CHAT, name="@u"):
        self.assertTrue(self.db.updateChatUser(chat, user, name, f"Full {user}"))

    def save(self, number, **values):
        return self.db.saveChatMessage(**{
            "date": DATE, "chatId": CHAT, "userId": 7, "messageId": number, **values})

    # Settings

    def test_settings(self):
        db = self.db
        self.assertIs(db.setSetting("k", "v"), True)
        self.assertEqual(db.getSetting("k"), "v")
        self.assertEqual(db.getSetting("k", "d"), "v")
        self.assertIsNone(db.getSetting("none"))
        self.assertEqual(db.getSetting("none", "d"), "d")
        self.assertEqual(db.getSetting(key="none", default=""), "")
        self.assertEqual(db.getSettings()["k"], "v")
        self.assertEqual(db.getSettings()["db-migration-version"], "6")
        self.assertTrue(db.setSetting(key="null", value=None))
        self.assertIsNone(db.getSetting("null", "d"))

    # Messages

    def test_message_row(self):
        self.user()
        self.assertIs(self.save(1, messageText="a", messageCategory=MessageCategory.BOT_ERROR,
                                messageType=MessageType.VIDEO_NOTE), True)
        row = self.db.getChatMessageByMessageId(CHAT, "1")
        created = row.pop("created_at")
        self.assertLess(abs(datetime.now(timezone.utc).replace(tzinfo=None) - created),
                        timedelta(seconds=60))
        self.assertEqual(row, {
            "chat_id": CHAT, "message_id": "1", "date": DATE, "user_id": 7, "reply_id": None,
            "thread_id": 0, "root_message_id": None, "message_text": "a",
            "message_type": "video-note", "message_category": "bot-error", "quote_text": None,
            "media_id": None, "username": "@u", "full_name": "Full 7",
            **{f"media_{name}": None for name in MEDIA}})
        self.assertIs(type(row["message_category"]), MessageCategory)
        self.assertIs(type(row["message_type"]), str)
        self.assertIs(type(row), dict)

    def test_message_twice(self):
        self.user()
        self.assertTrue(self.save(1))
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIs(self.save("1"), False)
        self.assertEqual(self.db.getChatUser(CHAT, 7)["messages_count"], 1)

    def test_message_with_everything(self):
        self.user()
        self.assertTrue(self.db.addMediaAttachment(
            fileUniqueId="m", fileId="f", fileSize=5, status=MediaStatus.PENDING))
        self.assertTrue(self.save(2, replyId=1, threadId=9, rootMessageId=1, quoteText="q",
                                  mediaId="m", messageCategory="unheard-of"))
        row = self.db.getChatMessagesByRootId(CHAT, 1)[0]
        self.assertEqual((row["reply_id"], row["thread_id"], row["root_message_id"]), ("1", 9, "1"))
        self.assertEqual((row["quote_text"], row["message_category"]), ("q", "unheard-of"))
        self.assertIs(type(row["message_category"]), str)
        media = self.db.getMediaAttachment("m")
        self.assertEqual({f"media_{name}": media[name] for name in MEDIA},
                         {name: row[name] for name in row if name.startswith("media_")
                          and name != "media_id"})
        self.assertIs(media["status"], MediaStatus.PENDING)
        self.assertIs(row["media_status"], MediaStatus.PENDING)

    def test_messages_since(self):
        self.user()
        for i in range(5):
            self.save(i, date=DATE + timedelta(seconds=i), threadId=i % 2 or None,
                      messageCategory="user" if i < 3 else "bot")
        get = self.db.getChatMessagesSince

        def ids(*arguments, **keywords):
            return "".join(row["message_id"] for row in get(CHAT, *arguments, **keywords))

        self.assertEqual(ids(), "43210")
        self.assertEqual(ids(DATE + timedelta(seconds=2)), "43")
        self.assertEqual(ids(tillDateTime=DATE + timedelta(seconds=2)), "10")
        east = (DATE + timedelta(hours=3, seconds=2)).replace(tzinfo=timezone(timedelta(hours=3)))
        self.assertEqual(ids(sinceDateTime=east), "43")
        self.assertEqual(ids(threadId=1), "31")
        self.assertEqual(ids(threadId=0), "420")
        self.assertEqual(ids(limit=2), "43")
        self.assertEqual(ids(limit=0), "")
        self.assertEqual(ids(limit=-1), "43210")
        self.assertEqual(ids(messageCategory=[MessageCategory.BOT]), "43")
        self.assertEqual(ids(messageCategory=["user", "bot"], limit=1), "4")
        self.assertEqual(ids(messageCategory=[]), "")
        self.assertEqual(get(OTHER), [])

    def test_times_are_cut_and_converted(self):
        self.user()
        self.save(1, date=DATE.replace(microsecond=999999))
        self.save(2, date=DATE.replace(tzinfo=timezone(timedelta(hours=-5))))
        dates = [row["date"] for row in self.db.getChatMessagesSince(CHAT)]
        self.assertEqual(dates, [DATE + timedelta(hours=5), DATE])

    def test_messages_by_user_and_category(self):
        self.user()
        for i in range(3):
            self.save(i, date=DATE + timedelta(seconds=i))
        get = self.db.getChatMessagesByUser
        self.assertEqual([row["message_id"] for row in get(CHAT, 7, 2)], ["2", "1"])
        self.assertEqual(len(get(chatId=CHAT, userId=7, limit=-5)), 3)
        self.assertEqual(get(CHAT, 7, limit=0), [])
        self.assertEqual(get(CHAT, 8), [])
        self.assertIs(self.db.updateChatMessageCategory(CHAT, 1, MessageCategory.USER_SPAM), True)
        self.assertIs(self.db.getChatMessageByMessageId(CHAT, 1)["message_category"],
                      MessageCategory.USER_SPAM)
        self.assertIs(self.db.updateChatMessageCategory(CHAT, 99, "x"), True)

    def test_author_unknown(self):
        self.assertTrue(self.save(1))
        self.assertIsNone(self.db.getChatMessageByMessageId(CHAT, 1))

    # Users and chats

    def test_users(self):
        self.user()
        self.user(8, name="@v")
        row = self.db.getChatUser(CHAT, 7)
        self.assertIs(row["is_spammer"], False)
        self.assertEqual((row["username"], row["full_name"], row["timezone"], row["messages_count"],
                          row["metadata"]), ("@u", "Full 7", None, 0, ""))
        self.assertIsNone(row["created_at"].tzinfo)
        self.assertIs(self.db.markUserIsSpammer(CHAT, 7, True), True)
        self.assertIs(self.db.updateUserMetadata(CHAT, 7, '{"a": 1}'), True)
        row = self.db.getChatUserByUsername(CHAT, "@u")
        self.assertIs(row["is_spammer"], True)
        self.assertEqual(row["metadata"], '{"a": 1}')
        self.assertIsNone(self.db.getChatUser(CHAT, 9))
        self.assertIsNone(self.db.getChatUserByUsername(CHAT, "@none"))
        self.assertEqual(len(self.db.getChatUsers(CHAT)), 2)
        self.assertEqual(len(self.db.getChatUsers(CHAT, 1)), 1)
        self.assertEqual(len(self.db.getChatUsers(CHAT, limit=-1)), 2)
        self.assertEqual(self.db.getChatUsers(CHAT, 0), [])
        self.assertEqual(self.db.getChatUsers(CHAT, seenSince=datetime(2100, 1, 1)), [])

    def test_not_null_columns(self):
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIs(self.db.updateChatUser(CHAT, 7, None, "x"), False)
        self.assertIsNone(self.db.getChatUser(CHAT, 7))

    def test_chats_and_topics(self):
        db = self.db
        self.assertTrue(db.updateChatInfo(CHAT, "supergroup", "T", isForum=True))
        self.assertTrue(db.updateChatInfo(chatId=OTHER, type="private", username="@x"))
        row = db.getChatInfo(CHAT)
        self.assertEqual((row["title"], row["username"], row["is_forum"]), ("T", None, True))
        self.assertIsNone(db.getChatInfo(5))
        self.assertEqual([row["chat_id"] for row in db.getAllGroupChats()], [CHAT])
        self.user()
        self.assertEqual([row["chat_id"] for row in db.getUserChats(7)], [CHAT])
        self.assertTrue(db.updateChatTopicInfo(CHAT, 0))
        self.assertTrue(db.updateChatTopicInfo(CHAT, 5, 0xFF, "e", "N"))
        topics = [(row["topic_id"], row["icon_color"], row["icon_custom_emoji_id"], row["name"])
                  for row in db.getChatTopics(CHAT)]
        self.assertEqual(topics, [(0, None, None, "Default"), (5, 255, "e", "N")])

    def test_chat_settings(self):
        db = self.db
        self.assertTrue(db.setChatSetting(CHAT, "k", "v"))
        self.assertTrue(db.setChatSetting(CHAT, "number", 5))
        self.assertTrue(db.setChatSetting(CHAT, "flag", True))
        self.assertEqual(db.getChatSettings(CHAT), {"k": "v", "number": "5", "flag": "1"})
        self.assertEqual(db.getChatSetting(CHAT, setting="k"), "v")
        self.assertIsNone(db.getChatSetting(CHAT, "none"))
        self.assertTrue(db.unsetChatSetting(CHAT, "k"))
        self.assertTrue(db.clearChatSettings(CHAT))
        self.assertEqual(db.getChatSettings(CHAT), {})

    def test_user_data(self):
        db = self.db
        self.assertTrue(db.addUserData(7, CHAT, "k", "[1]"))
        self.assertTrue(db.addUserData(userId=7, chatId=CHAT, key="l", data=""))
        self.assertEqual(db.getUserData(7, CHAT), {"k": "[1]", "l": ""})
        self.assertTrue(db.deleteUserData(7, CHAT, "k"))
        self.assertTrue(db.clearUserData(7, CHAT))
        self.assertEqual(db.getUserData(7, CHAT), {})

    # Summaries, media, tasks

    def test_summaries(self):
        db = self.db
        self.assertTrue(db.addChatSummarization(CHAT, None, 1, 2, "p", "s"))
        row = db.getChatSummarization(CHAT, None, "1", 2, "p")
        self.assertEqual(row["summary"], "s")
        self.assertEqual(row["csid"], hashlib.sha512(b"-1001:None_1:2-p").hexdigest())
        self.assertIsNone(row["topic_id"])
        self.assertIsNone(db.getChatSummarization(CHAT, 0, 1, 2, prompt="p"))

    def test_media(self):
        db = self.db
        self.assertTrue(db.addMediaAttachment(fileUniqueId="m", fileId="f"))
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIs(db.addMediaAttachment(fileUniqueId="m", fileId="f"), False)
        row = db.getMediaAttachment("m")
        self.assertEqual((row["media_type"], row["metadata"], row["status"], row["file_size"]),
                         ("image", "{}", MediaStatus.NEW, None))
        self.assertTrue(db.updateMediaAttachment("m", status=MediaStatus.DONE, fileSize=0))
        row = db.getMediaAttachment(mediaId="m")
        self.assertEqual((row["status"], row["file_size"], row["metadata"]), ("done", 0, "{}"))
        self.assertIsNone(db.getMediaAttachment("none"))

    def test_tasks(self):
        db = self.db
        self.assertTrue(db.addDelayedTask("t", "f", "{}", 1800000000))
        row = db.getPendingDelayedTasks()[0]
        self.assertEqual((row["id"], row["delayed_ts"], row["function"], row["kwargs"],
                          row["is_done"]), ("t", 1800000000, "f", "{}", False))
        self.assertTrue(db.updateDelayedTask(id="t", isDone=True))
        self.assertEqual(db.getPendingDelayedTasks(), [])

    # Spam and caches

    def test_spam(self):
        db = self.db
        self.assertTrue(db.addSpamMessage(CHAT, 7, 1, "buy", SpamReason.ADMIN, 0.5))
        self.assertTrue(db.addSpamMessage(CHAT, 7, 2, "buy", "unheard-of", 1))
        self.assertTrue(db.addHamMessage(CHAT, 7, 1, "hi", "user", 0))
        rows = db.getSpamMessages()
        self.assertEqual([row["message_id"] for row in rows], ["1", "2"])
        self.assertIs(rows[0]["reason"], SpamReason.ADMIN)
        self.assertEqual((rows[1]["reason"], rows[1]["score"]), ("unheard-of", 1.0))
        self.assertEqual(len(db.getSpamMessages(limit=1)), 1)
        self.assertEqual(db.getSpamMessages(0), [])
        self.assertEqual(len(db.getSpamMessagesByText("buy")), 2)
        self.assertEqual(len(db.getSpamMessagesByUserId(CHAT, 7)), 2)
        self.assertTrue(db.deleteSpamMessagesByUserId(CHAT, 7))
        self.assertEqual(db.getSpamMessages(), [])

    def test_caches(self):
        db = self.db
        self.assertTrue(db.setCacheStorage("n", "k", "v"))
        self.assertEqual(set(db.getCacheStorage()[0]), {"namespace", "key", "value", "updated_at"})
        self.assertTrue(db.unsetCacheStorage("n", "k"))
        for kind in CacheType:
            self.assertTrue(db.setCacheEntry("k", f"data {kind}", kind))
            row = db.getCacheEntry("k", kind, ttl=60)
            self.assertEqual((row["key"], row["data"]), ("k", f"data {kind}"))
            self.assertIsNone(db.getCacheEntry("k", kind, 0))
            self.assertIsNone(db.getCacheEntry("k", kind, -1))
            self.assertIsNone(db.clearCache(kind))
            self.assertIsNone(db.getCacheEntry("k", kind))
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIs(db.setCacheEntry("k", "d", "news"), False)
            self.assertIsNone(db.getCacheEntry("k", "news"))
            self.assertIsNone(db.clearCache("news"))

    # Bayes

    def test_bayes(self):
        asyncio.run(self._bayes())

    async def _bayes(self):
        store = bayes.BayesStorage(self.db)
        self.assertIs(await store.updateTokenStats("a", True, 3), True)
        self.assertIs(await store.batchUpdateTokens([
            {"token": "a", "is_spam": False, "increment": 1}, {"token": "b", "is_spam": False}]), True)
        self.assertIs(await store.batchUpdateTokens([]), True)
        self.assertIs(await store.updateTokenStats("c", True, chat_id=CHAT), True)
        self.assertEqual(await store.getTokenStats(["a", "b", "none"]), {
            "a": bayes.TokenStats("a", 3, 1, 4), "b": bayes.TokenStats("b", 0, 1, 1)})
        self.assertEqual(await store.getTokenStats([]), {})
        self.assertIs(await store.updateClassStats(True, 3, tokenIncrement=9), True)
        self.assertIs(await store.updateClassStats(isSpam=False), True)
        self.assertEqual(await store.getClassStats(True), bayes.ClassStats(3, 9))
        self.assertEqual(await store.getClassStats(False, CHAT), bayes.ClassStats(0, 0))
        self.assertEqual(await store.getAllTokens(), ["a", "b"])
        self.assertEqual(await store.getAllTokens(CHAT), ["c"])
        self.assertEqual(await store.getVocabularySize(chatId=CHAT), 1)
        model = await store.getModelStats()
        self.assertEqual(model, bayes.BayesModelStats(3, 1, 9, 2, None))
        self.assertEqual((model.total_messages, model.spam_ratio, model.ham_ratio), (4, 0.75, 0.25))
        self.assertEqual((await store.getModelStats(OTHER)).spam_ratio, 0.0)
        self.assertEqual([each.token for each in await store.getTopSpamTokens()], ["a"])
        self.assertEqual([each.token for each in await store.getTopHamTokens(limit=5)], ["a"])
        self.assertEqual(await store.getTopHamTokens(0), [])
        self.assertEqual(await store.cleanupRareTokens(min_count=2), 1)
        self.assertIs(await store.clearStats(), True)
        self.assertEqual(await store.getAllTokens(), [])
        self.assertEqual(await store.getAllTokens(CHAT), ["c"])
        self.db.close()
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertEqual(await store.getAllTokens(), [])
            self.assertIs(await store.clearStats(), False)
            self.assertEqual(await store.getClassStats(True), bayes.ClassStats())
            self.assertEqual(await store.cleanupRareTokens(), 0)

    # Several sources

    def test_routing(self):
        db = self.open_sources("default", "second", mapping={CHAT: "second"})
        for chat in (CHAT, OTHER):
            self.assertTrue(db.updateChatInfo(chat, "group", f"T{chat}"))
        self.assertTrue(db.updateChatInfo(OTHER, "group", "again"))
        self.assertIsNotNone(db.getChatInfo(CHAT))
        self.assertIsNone(db.getChatInfo(CHAT, dataSource="default"))
        self.assertIsNone(db.getChatInfo(OTHER, dataSource="second"))
        self.assertIsNotNone(db.getChatInfo(OTHER, dataSource="no such source"))
        self.assertEqual([row["chat_id"] for row in db.getAllGroupChats()], [OTHER, CHAT])
        self.assertEqual(len(db.getAllGroupChats(dataSource="second")), 1)
        self.assertTrue(db.setSetting("k", "two", dataSource="second"))
        self.assertIsNone(db.getSetting("k"))
        self.assertEqual(db.getSetting("k", dataSource="second"), "two")

    def test_readonly(self):
        self.open_sources("ro1", readonly=False).close()
        db = self.open_sources("default", "ro1", mapping={CHAT: "ro1"})
        with self.assertLogs("chatstore.wrapper", "ERROR") as logs:
            self.assertIs(db.updateChatInfo(CHAT, "group"), False)
        self.assertIn("ro1", logs.output[0])
        self.assertTrue(db.updateChatInfo(OTHER, "group"))

    # Use

    def test_threads(self):
        self.user()
        failures = []

        def work(number):
            for i in range(25):
                if not self.save(f"{number}-{i}") or not self.db.getChatUser(CHAT, 7):
                    failures.append((number, i))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.db.getChatUser(CHAT, 7)["messages_count"], 200)
        self.assertEqual(len(self.db.getChatMessagesSince(CHAT)), 200)

    def test_after_close(self):
        db = self.db
        db.close()
        db.close()
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIsNone(db.getChatUser(CHAT, 7))
            self.assertEqual(db.getChatUsers(CHAT), [])
            self.assertEqual(db.getSettings(), {})
            self.assertEqual(db.getSetting("k", "d"), "d")
            self.assertIs(db.setSetting("k", "v"), False)

    def test_after_fork(self):
        child = os.fork()
        if child == 0:
            try:
                self.db.close() if self.db.getSettings() == {} else os._exit(1)
                os._exit(0)
            except BaseException:
                os._exit(2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertTrue(self.db.setSetting("k", "v"))

    def test_cursor(self):
        with self.assertRaisesRegex(NotImplementedError, "SQLite"):
            self.db.getCursor()

    def test_wrong_types_are_logged(self):
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIs(self.db.setSetting("k", object()), False)
            self.assertIs(self.save(1, date="yesterday"), False)
            self.assertIsNone(self.db.getChatUser("x", 7))
        self.user()
        self.assertIsNotNone(self.db.getChatUser(str(CHAT), 7))


class Embedded(WrapperCases, support.FolderCase):
    def open_sources(self, *names, mapping=None, readonly=True):
        sources = {name: {"path": self.path(f"{name}.db"),
                          "readonly": readonly and name.startswith("ro")} for name in names}
        config = {"default": names[0], "sources": sources, "chatMapping": mapping or {}}
        db = DatabaseWrapper(config=config)
        self.addCleanup(db.close)
        return db


class InMemory(WrapperCases, support.FolderCase):
    def open_sources(self, *names, mapping=None, readonly=True):
        if names == ("default",):
            db = DatabaseWrapper(":memory:", 3, 10.0)
            self.addCleanup(db.close)
            return db
        return Embedded.open_sources(self, *names, mapping=mapping, readonly=readonly)

    def test_is_private(self):
        other = DatabaseWrapper(dbPath=":memory:")
        self.addCleanup(other.close)
        self.assertTrue(self.db.setSetting("k", "v"))
        self.assertIsNone(other.getSetting("k"))


class Remote(WrapperCases, support.FolderCase):
    def open_sources(self, *names, mapping=None, readonly=True):
        lines = ["[database]", f'default = "{names[0]}"']
        for name in names:
            lines += [f"[database.sources.{name}]", f'path = "{self.path(name + ".db")}"',
                      f"readonly = {'true' if readonly and name.startswith('ro') else 'false'}"]
        lines.append("[database.chatMapping]")
        lines += [f'"{chat}" = "{name}"' for chat, name in (mapping or {}).items()]
        number = len(os.listdir(self.folder))
        path = self.path(f"{number}.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        server = support.Server(self.folder, "--config", path,
                                listen=f"ipc://{self.folder}/{number}.sock")
        self.addCleanup(server.stop)
        db = DatabaseWrapper(config={"url": server.url, "timeout": 20})
        self.addCleanup(db.close)
        return db

    def test_url_as_path(self):
        db = DatabaseWrapper(f"ipc://{self.folder}/0.sock", timeout=5.0)
        self.addCleanup(db.close)
        self.assertTrue(db.setSetting("k", "v"))
        self.assertEqual(self.db.getSetting("k"), "v")

    def test_no_server(self):
        db = DatabaseWrapper(f"ipc://{self.folder}/none.sock", timeout=0.2)
        self.addCleanup(db.close)
        with self.assertLogs("chatstore.wrapper", "ERROR"):
            self.assertIsNone(db.getChatUser(CHAT, 7))


class Construction(support.FolderCase):
    def refuse(self, text, *arguments, **keywords):
        with self.assertRaisesRegex(ValueError, text):
            DatabaseWrapper(*arguments, **keywords)

    def test_refusals(self):
        source = {"path": self.path("a.db")}
        self.refuse("either", )
        self.refuse("either", "a.db", config={"sources": {"default": source}})
        self.refuse("sources", config={})
        self.refuse("sources", config={"sources": {}})
        self.refuse("path", config={"sources": {"default": {}}})
        self.refuse("default", config={"default": "b", "sources": {"a": source}})
        self.refuse("default", config={"sources": {"a": source}})
        self.refuse("URL|ws", "ws://host:1")
        self.refuse("empty", "")
        self.assertEqual(os.listdir(self.folder), [])

    def test_mapping(self):
        config = {"default": "a", "sources": {
            "a": {"path": self.path("a.db")},
            "b": {"path": self.path('b "quoted" \\ é.db'), "pool-size": 2, "timeout": 1.5}},
            "chatMapping": {"-1": "b", -2: "b", -3: "none", "x": "b"}}
        with self.assertLogs("chatstore.wrapper", "WARNING") as logs:
            db = DatabaseWrapper(config=config)
        self.addCleanup(db.close)
        self.assertEqual(len(logs.output), 2)
        for chat in (-1, -2, -3):
            self.assertTrue(db.updateChatInfo(chat, "group"))
        self.assertEqual([row["chat_id"] for row in db.getAllGroupChats(dataSource="b")], [-2, -1])
        self.assertEqual([row["chat_id"] for row in db.getAllGroupChats(dataSource="a")], [-3])

    def test_relative_path(self):
        there = os.getcwd()
        os.chdir(self.folder)
        try:
            db = DatabaseWrapper("bot.db")
        finally:
            os.chdir(there)
        self.addCleanup(db.close)
        self.assertTrue(db.setSetting("k", "v"))
        self.assertTrue(os.path.exists(self.path("bot.db")))

    def test_migrated_in_the_constructor(self):
        DatabaseWrapper(self.path("bot.db"))
        file = sqlite3.connect(self.path("bot.db"))
        self.addCleanup(file.close)
        version = "SELECT value FROM settings WHERE key = 'db-migration-version'"
        self.assertEqual(file.execute(version).fetchone(), ("6",))

    def test_old_bot_beside(self):
        """Another SQLite user of the file, in this process too."""
        db = DatabaseWrapper(self.path("bot.db"))
        self.addCleanup(db.close)
        self.assertTrue(db.setSetting("k", "v"))
        file = sqlite3.connect(self.path("bot.db"))
        self.addCleanup(file.close)
        with file:
            file.execute("UPDATE settings SET value = 'w' WHERE key = 'k'")
        self.assertEqual(db.getSetting("k"), "w")
        self.assertTrue(db.setSetting("k", "x"))
        self.assertEqual(file.execute("SELECT value FROM settings WHERE key = 'k'").fetchone(), ("x",))

    def test_signatures(self):
        listed = [plain(line) for line in SIGNATURES.strip().splitlines()]
        for line in listed:
            name, _, wanted = line.partition("(")
            signature = inspect.signature(getattr(DatabaseWrapper, name))
            without = [each.replace(annotation=inspect.Parameter.empty)
                       for each in list(signature.parameters.values())[1:]]
            made = inspect.Signature(without)
            self.assertEqual(f"{name}{made}", f"{name}({wanted}")
        known = {line.partition("(")[0] for line in listed} | {"close", "getCursor", "call"}
        public = {name for name in vars(DatabaseWrapper) if not name.startswith("_")}
        self.assertEqual(public, known)


class ExistingFiles(support.FolderCase):
    """Files that bots wrote, where they are at hand."""

    def setUp(self):
        super().setUp()
        if not os.path.isdir(support.DATA_DIR):
            self.skipTest(f"there is no {support.DATA_DIR}")
        for name in os.listdir(support.DATA_DIR):
            shutil.copy(os.path.join(support.DATA_DIR, name), self.folder)

    def test_every_schema(self):
        for name in ("bot.db", "archive.db", "other_bot.db", "bot-schema-1.db", "bot-schema-3.db"):
            with self.subTest(name):
                db = DatabaseWrapper(self.path(name))
                chats = db.getAllGroupChats()
                self.assertTrue(chats)
                messages = [row for chat in chats for row in db.getChatMessagesSince(chat["chat_id"])]
                self.assertTrue(messages)
                self.assertTrue(all(type(row["date"]) is datetime for row in messages))
                self.assertEqual(db.getSetting("db-migration-version"), "6")
                db.close()


class Vectors(support.FolderCase):
    """The conversation of tests/vectors, through every door of this package."""

    def talk(self, call):
        from test_codec import complete, from_json
        from chatstore import attempts
        for case in support.vectors("calls"):
            with self.subTest(method=case["method"], request=case["request"]):
                made = attempts.find_call(case["method"])
                values = from_json(made.request, case["request"])
                self.assertEqual(made.request.encoder.encode(values).hex(), case["request_hex"])
                if case["status"] != "OK":
                    with self.assertRaises(chatstore.ChatstoreError) as caught:
                        call(case["method"], values)
                    self.assertEqual(caught.exception.status, case["status"])
                    continue
                answer = call(case["method"], values)
                if case["response"] is not None:
                    wanted = complete(made.response, from_json(made.response, case["response"]))
                    self.assertEqual(self.bare(answer), self.bare(wanted))

    def bare(self, value):
        """Without the times at which rows were made."""
        if isinstance(value, dict):
            return {name: self.bare(each) for name, each in value.items()
                    if name not in ("created_at", "updated_at")}
        return [self.bare(each) for each in value] if isinstance(value, list) else value

    def test_embedded(self):
        with chatstore.SyncClient(f"embedded:{self.path('a.db')}") as client:
            self.talk(client.call)

    def test_server(self):
        server = support.Server(self.folder, "--db", self.path("b.db"))
        self.addCleanup(server.stop)
        with chatstore.SyncClient(server.url) as client:
            self.talk(client.call)

    def test_server_asyncio(self):
        server = support.Server(self.folder, "--db", self.path("c.db"))
        self.addCleanup(server.stop)
        from test_clients import Blocking
        with Blocking(server.url) as client:
            self.talk(client.call)

    def test_frames(self):
        from test_codec import from_json
        from chatstore import calls
        from chatstore.sp import Framing
        for case in support.vectors("frames"):
            message = (calls.ENVELOPE_REQUEST if case["direction"] == "request"
                       else calls.ENVELOPE_REPLY)
            body = message.encoder.encode(from_json(message, case["envelope"]))
            for ipc, name in ((True, "ipc"), (False, "tcp")):
                framing = Framing(ipc, 1 << 20)
                data = bytes.fromhex(case[name])
                self.assertEqual(framing.pack(case["id"], body), data)
                head = framing.header_bytes
                self.assertEqual(framing.read_header(data[:head]), (case["id"], len(data) - head))


if __name__ == "__main__":
    unittest.main()
