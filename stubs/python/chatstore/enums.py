"""The values that bots know of columns with open text."""

from enum import StrEnum


class MediaStatus(StrEnum):
    NEW = "new"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class MessageCategory(StrEnum):
    UNSPECIFIED = "unspecified"
    USER = "user"
    USER_COMMAND = "user-command"
    CHANNEL = "channel"
    BOT = "bot"
    BOT_COMMAND_REPLY = "bot-command-reply"
    BOT_ERROR = "bot-error"
    BOT_SUMMARY = "bot-summary"
    BOT_SPAM_NOTIFICATION = "bot-spam-notification"
    USER_SPAM = "user-spam"


class SpamReason(StrEnum):
    AUTO = "auto"
    USER = "user"
    ADMIN = "admin"
    UNBAN = "unban"


class CacheType(StrEnum):
    WEATHER = "weather"
    GEOCODING = "geocoding"
    YANDEX_SEARCH = "yandex_search"
    GM_SEARCH = "geocode_maps_search"
    GM_REVERSE = "geocode_maps_reverse"
    GM_LOOKUP = "geocode_maps_lookup"


class MessageType(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    STICKER = "sticker"
    ANIMATION = "animation"
    VIDEO = "video"
    VIDEO_NOTE = "video-note"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"
    UNKNOWN = "unknown"
