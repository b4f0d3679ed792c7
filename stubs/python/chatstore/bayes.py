"""The storage of a bot's Bayes spam filter, on its DatabaseWrapper."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatstore import calls
from chatstore._wrapper import logger
from chatstore.contract import Call
from chatstore.wrapper import DatabaseWrapper, row_limit

__all__ = [
    "BayesModelStats", "BayesStorage", "ClassStats", "DatabaseBayesStorage", "TokenStats",
]


@dataclass
class TokenStats:
    """How often a token was seen."""

    token: str
    spamCount: int = 0
    hamCount: int = 0
    totalCount: int = 0


@dataclass
class ClassStats:
    """What was learnt of one class, spam or ham."""

    message_count: int = 0
    token_count: int = 0


@dataclass
class BayesModelStats:
    """The size of a model."""

    total_spam_messages: int = 0
    total_ham_messages: int = 0
    total_tokens: int = 0
    vocabulary_size: int = 0
    chat_id: int | None = None

    @property
    def total_messages(self) -> int:
        """Messages learnt, spam and ham."""
        return self.total_spam_messages + self.total_ham_messages

    @property
    def spam_ratio(self) -> float:
        """The share of spam in the messages learnt; 0 when there are none."""
        total = self.total_messages
        return self.total_spam_messages / total if total else 0.0

    @property
    def ham_ratio(self) -> float:
        """The share of ham in the messages learnt; 0 when there are none."""
        total = self.total_messages
        return self.total_ham_messages / total if total else 0.0


class BayesStorage:
    """The model of each chat, and the global one (no chat), in the default source.

    The methods do not hold up the event loop. No call raises for a failure of a database or a
    server: it is logged and the empty answer of its kind is given.
    """

    def __init__(self, db: DatabaseWrapper) -> None:
        self.db = db

    async def getTokenStats(
        self, tokens: Iterable[str], chatId: int | None = None
    ) -> dict[str, TokenStats]:
        rows = await self._read(
            calls.GET_TOKEN_STATS, {"tokens": list(tokens), "chat_id": chatId}, [])
        return {row["token"]: _token_stats(row) for row in rows}

    async def getClassStats(self, is_spam: bool, chat_id: int | None = None) -> ClassStats:
        row = await self._read(
            calls.GET_CLASS_STATS, {"is_spam": is_spam, "chat_id": chat_id}, None)
        return ClassStats(**row) if row is not None else ClassStats()

    async def updateTokenStats(
        self, token: str, is_spam: bool, increment: int = 1, chat_id: int | None = None
    ) -> bool:
        return await self._write(calls.UPDATE_TOKEN_STATS, {
            "token": token, "is_spam": is_spam, "increment": increment, "chat_id": chat_id})

    async def updateClassStats(
        self,
        isSpam: bool,
        messageIncrement: int = 1,
        tokenIncrement: int = 0,
        chatId: int | None = None,
    ) -> bool:
        return await self._write(calls.UPDATE_CLASS_STATS, {
            "is_spam": isSpam, "message_increment": messageIncrement,
            "token_increment": tokenIncrement, "chat_id": chatId})

    async def getAllTokens(self, chat_id: int | None = None) -> list[str]:
        tokens: list[str] = await self._read(calls.GET_ALL_TOKENS, {"chat_id": chat_id}, [])
        return tokens

    async def getVocabularySize(self, chatId: int | None = None) -> int:
        size: int = await self._read(calls.GET_VOCABULARY_SIZE, {"chat_id": chatId}, 0)
        return size

    async def getModelStats(self, chat_id: int | None = None) -> BayesModelStats:
        row = await self._read(calls.GET_MODEL_STATS, {"chat_id": chat_id}, None)
        return BayesModelStats(**(row or {}), chat_id=chat_id)

    async def clearStats(self, chat_id: int | None = None) -> bool:
        return await self._write(calls.CLEAR_STATS, {"chat_id": chat_id})

    async def batchUpdateTokens(
        self, token_updates: Sequence[Mapping[str, Any]], chat_id: int | None = None
    ) -> bool:
        updates = [{name: each[name] for name in ("token", "is_spam", "increment") if name in each}
                   for each in token_updates]
        return await self._write(calls.BATCH_UPDATE_TOKENS, {
            "updates": updates, "chat_id": chat_id})

    async def getTopSpamTokens(
        self, limit: int = 10, chat_id: int | None = None
    ) -> list[TokenStats]:
        return await self._top(calls.GET_TOP_SPAM_TOKENS, limit, chat_id)

    async def getTopHamTokens(
        self, limit: int = 10, chat_id: int | None = None
    ) -> list[TokenStats]:
        return await self._top(calls.GET_TOP_HAM_TOKENS, limit, chat_id)

    async def cleanupRareTokens(self, min_count: int = 2, chat_id: int | None = None) -> int:
        count: int = await self._read(
            calls.CLEANUP_RARE_TOKENS, {"min_count": min_count, "chat_id": chat_id}, 0)
        return count

    async def _top(self, call: Call[Any], limit: int, chat_id: int | None) -> list[TokenStats]:
        if limit == 0:
            return []
        rows = await self._read(call, {"limit": row_limit(limit), "chat_id": chat_id}, [])
        return [_token_stats(row) for row in rows]

    async def _read(self, call: Call[Any], values: dict[str, Any], empty: Any) -> Any:
        try:
            return await asyncio.to_thread(self.db.call, call, values)
        except Exception as error:  # pylint: disable=broad-except
            logger.error("%s failed: %s", call.name, error)
            return empty

    async def _write(self, call: Call[Any], values: dict[str, Any]) -> bool:
        return await self._read(call, values, None) is not None


def _token_stats(row: Mapping[str, Any]) -> TokenStats:
    return TokenStats(row["token"], row["spam_count"], row["ham_count"], row["total_count"])


DatabaseBayesStorage = BayesStorage
