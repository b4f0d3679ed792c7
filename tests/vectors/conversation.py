"""A conversation with a fresh database: (call, request, status, response) in order.

The response is compared without created_at and updated_at, wherever they stand; None: it does not
matter. Every call of the contract but those of the server itself occurs. JSON as proto3 maps it.
"""

CHAT, USER = "-1001000000001", "42"
MESSAGE = {
    "chat_id": CHAT, "message_id": "100", "date": "2026-01-02T03:04:05Z", "user_id": USER,
    "message_text": "Hëllo \U0001f44b", "message_type": "text", "message_category": "user",
    "username": "@first", "full_name": "First Citizen",
}
WITH_MEDIA = dict(
    MESSAGE, message_id="101", date="2026-01-02T03:04:06Z", reply_id="100", thread_id="5",
    root_message_id="100", message_text="", message_type="image", quote_text="", media_id="file1",
    media={"file_unique_id": "file1", "file_id": "f", "file_size": "0", "media_type": "image",
           "metadata": "{}", "status": "done", "description": "a cat"})
CHAT_ROW = {"chat_id": CHAT, "title": "Rome", "type": "supergroup", "is_forum": True}
SPAM = {"chat_id": CHAT, "user_id": USER, "message_id": "100", "text": "buy", "reason": "auto",
        "score": 0.75}
HERE = {"chat_id": CHAT}
WHO = {"chat_id": CHAT, "user_id": USER}
TOKEN_A = {"token": "a", "spam_count": "3", "total_count": "3"}
TOKEN_B = {"token": "b", "ham_count": "1", "total_count": "1"}
# SHA-512 of "-1001000000001:None_100:101-p"
CSID = ("f4da3fa2d09f778655d973350ee1b7d512b31cae07382b84281dcfdbfb6a8932"
        "d01439a4522ff8cc4cf6ebb177d5f3d4803f824553ac86c0a8ed1d201a33b113")
OK = "OK"


def changed(count):
    return {"changed_rows": str(count)}


CONVERSATION = [
    ("GetChatUser", WHO, OK, {}),
    ("GetChatUser", {"chat_id": CHAT}, "INVALID_ARGUMENT", None),
    ("UpdateChatUser", dict(WHO, username="@first", full_name="First Citizen"), OK, changed(1)),
    ("SaveChatMessage", {"date": "2026-01-02T03:04:05.999Z", "chat_id": CHAT, "user_id": USER,
                         "message_id": "100", "message_text": "Hëllo \U0001f44b",
                         "message_category": "user"}, OK, changed(4)),
    ("SaveChatMessage", {"date": "2026-01-02T03:04:05Z", "chat_id": CHAT, "user_id": USER,
                         "message_id": "100"}, "ALREADY_EXISTS", None),
    ("AddMediaAttachment", {"file_unique_id": "file1", "file_id": "f", "file_size": "0"}, OK,
     changed(1)),
    ("UpdateMediaAttachment", {"media_id": "file1", "status": "done", "description": "a cat"}, OK,
     changed(1)),
    ("GetMediaAttachment", {"media_id": "file1"}, OK, {"media": WITH_MEDIA["media"]}),
    ("SaveChatMessage", {"date": "2026-01-02T03:04:06Z", "chat_id": CHAT, "user_id": USER,
                         "message_id": "101", "reply_id": "100", "thread_id": "5",
                         "root_message_id": "100", "message_type": "image",
                         "message_category": "user", "quote_text": "", "media_id": "file1"}, OK,
     changed(4)),
    ("GetChatMessagesSince", HERE, OK, {"messages": [WITH_MEDIA, MESSAGE]}),
    ("GetChatMessagesSince", dict(HERE, since="2026-01-02T03:04:05Z"), OK,
     {"messages": [WITH_MEDIA]}),
    ("GetChatMessagesSince", dict(HERE, thread_id="0", message_category=["user"]), OK,
     {"messages": [MESSAGE]}),
    ("GetChatMessagesSince", dict(HERE, limit=-1), "INVALID_ARGUMENT", None),
    ("GetChatMessageByMessageId", dict(HERE, message_id="100"), OK, {"message": MESSAGE}),
    ("GetChatMessagesByRootId", dict(HERE, root_message_id="100"), OK, {"messages": [WITH_MEDIA]}),
    ("GetChatMessagesByUser", dict(WHO, limit=1), OK, {"messages": [WITH_MEDIA]}),
    ("UpdateChatMessageCategory", dict(HERE, message_id="100", message_category="new-kind"), OK,
     changed(1)),
    ("MarkUserIsSpammer", dict(WHO, is_spammer=True), OK, changed(1)),
    ("UpdateUserMetadata", dict(WHO, metadata="{}"), OK, changed(1)),
    ("GetChatUserByUsername", dict(HERE, username="@first"), OK, {"user": {
        "chat_id": CHAT, "user_id": USER, "username": "@first", "full_name": "First Citizen",
        "messages_count": "2", "is_spammer": True, "metadata": "{}"}}),
    ("GetChatUsers", dict(HERE, seen_since="2030-01-01T00:00:00Z"), OK, {}),
    ("UpdateChatInfo", dict(HERE, type="supergroup", title="Rome", is_forum=True), OK, changed(1)),
    ("GetChatInfo", HERE, OK, {"chat": CHAT_ROW}),
    ("GetUserChats", {"user_id": USER}, OK, {"chats": [CHAT_ROW]}),
    ("GetAllGroupChats", {}, OK, {"chats": [CHAT_ROW]}),
    ("UpdateChatTopicInfo", dict(HERE, topic_id="5", icon_color=0x6FB9F0), OK, changed(1)),
    ("GetChatTopics", HERE, OK, {"topics": [
        {"chat_id": CHAT, "topic_id": "5", "icon_color": "7322096", "name": "Default"}]}),
    ("SetSetting", {"key": "k", "value": ""}, OK, changed(1)),
    ("GetSetting", {"key": "k", "default_value": "d"}, OK, {"value": ""}),
    ("GetSetting", {"key": "none", "default_value": "d"}, OK, {"value": "d"}),
    ("GetSettings", {}, OK, None),
    ("GetSettings", {"page_size": 1}, OK, None),
    ("GetSettings", {"page_size": 1, "page_token": "x"}, "INVALID_ARGUMENT", None),
    ("SetChatSetting", dict(HERE, key="k", value="v"), OK, changed(1)),
    ("SetChatSetting", dict(HERE, key="null"), OK, changed(1)),
    ("GetChatSetting", dict(HERE, setting="k"), OK, {"value": "v"}),
    ("GetChatSettings", HERE, OK, {"settings": [{"key": "k", "value": "v"}, {"key": "null"}]}),
    ("UnsetChatSetting", dict(HERE, key="k"), OK, changed(1)),
    ("ClearChatSettings", HERE, OK, changed(1)),
    ("AddUserData", dict(WHO, key="k", data="[1]"), OK, changed(1)),
    ("AddUserData", dict(WHO, key="l", data=""), OK, changed(1)),
    ("GetUserData", WHO, OK, {"entries": [{"key": "k", "data": "[1]"}, {"key": "l"}]}),
    ("DeleteUserData", dict(WHO, key="k"), OK, changed(1)),
    ("ClearUserData", WHO, OK, changed(1)),
    ("AddChatSummarization", dict(HERE, first_message_id="100", last_message_id="101",
                                  prompt="p", summary="s"), OK, changed(1)),
    ("GetChatSummarization", dict(HERE, first_message_id="100", last_message_id="101",
                                  prompt="p"), OK, {"summarization": {
        "csid": CSID, "chat_id": CHAT, "first_message_id": "100", "last_message_id": "101",
        "prompt": "p", "summary": "s"}}),
    ("AddDelayedTask", {"task_id": "t", "function": "f", "kwargs": "{}",
                        "delayed_ts": "1800000000"}, OK, changed(1)),
    ("GetPendingDelayedTasks", {}, OK, {"tasks": [
        {"id": "t", "delayed_ts": "1800000000", "function": "f", "kwargs": "{}"}]}),
    ("UpdateDelayedTask", {"id": "t", "is_done": True}, OK, changed(1)),
    ("AddSpamMessage", dict(WHO, message_id="100", message_text="buy", spam_reason="auto",
                            score=0.75), OK, changed(1)),
    ("AddHamMessage", dict(WHO, message_id="101", message_text="hi", spam_reason="user"), OK,
     changed(1)),
    ("GetSpamMessagesByText", {"text": "buy"}, OK, {"messages": [SPAM]}),
    ("GetSpamMessages", {"limit": 5}, OK, {"messages": [SPAM]}),
    ("GetSpamMessagesByUserId", WHO, OK, {"messages": [SPAM]}),
    ("DeleteSpamMessagesByUserId", WHO, OK, changed(1)),
    ("SetCacheStorage", {"namespace": "n", "key": "k", "value": "v"}, OK, changed(1)),
    ("GetCacheStorage", {}, OK, {"entries": [{"namespace": "n", "key": "k", "value": "v"}]}),
    ("UnsetCacheStorage", {"namespace": "n", "key": "k"}, OK, changed(1)),
    ("SetCacheEntry", {"key": "k", "data": "d", "cache_type": "weather"}, OK, changed(1)),
    ("SetCacheEntry", {"key": "k", "data": "d", "cache_type": "news"}, "INVALID_ARGUMENT", None),
    ("GetCacheEntry", {"key": "k", "cache_type": "weather", "ttl": "3600"}, OK,
     {"entry": {"key": "k", "data": "d"}}),
    ("GetCacheEntry", {"key": "k", "cache_type": "weather", "ttl": "0"}, OK, {}),
    ("ClearCache", {"cache_type": "weather"}, OK, changed(1)),
    ("UpdateTokenStats", {"token": "a", "is_spam": True, "increment": "3"}, OK, changed(1)),
    ("BatchUpdateTokens", {"updates": [{"token": "b"}]}, OK, changed(1)),
    ("UpdateClassStats", {"is_spam": True, "token_increment": "7"}, OK, changed(1)),
    ("GetTokenStats", {"tokens": ["b", "a", "unknown"]}, OK, {"tokens": [TOKEN_A, TOKEN_B]}),
    ("GetClassStats", {"is_spam": True}, OK, {"stats": {"message_count": "1", "token_count": "7"}}),
    ("GetClassStats", {}, OK, {"stats": {}}),
    ("GetAllTokens", {}, OK, {"tokens": ["a", "b"]}),
    ("GetVocabularySize", {}, OK, {"vocabulary_size": "2"}),
    ("GetModelStats", {}, OK, {"stats": {
        "total_spam_messages": "1", "total_tokens": "7", "vocabulary_size": "2"}}),
    ("GetTopSpamTokens", {}, OK, {"tokens": [TOKEN_A]}),
    ("GetTopHamTokens", {"limit": 1}, OK, {"tokens": [TOKEN_A]}),
    ("CleanupRareTokens", {}, OK, changed(1)),
    ("ClearStats", {}, OK, changed(2)),
]
