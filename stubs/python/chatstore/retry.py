"""When a call that has failed is sent again: the rule of docs/clients.md. No clock, no waiting."""

from __future__ import annotations

import random
from enum import Enum, auto

DELAY_S_MIN = 0.02
DELAY_S_MAX = 1.0
LEFT_S_MIN = 0.1
LOST_MAX = 10
SOURCE_RETRY_S = 2.0


class Reason(Enum):
    """Why a try failed that may be repeated."""

    UNREACHED = auto()  # there was no connection: nothing was sent
    LOST = auto()  # the connection was lost: whether the call was carried out is not known
    SERVER = auto()  # the server said UNAVAILABLE: it starts or stops
    SOURCE = auto()  # a source is UNAVAILABLE


class Retry:
    """What a call has gone through.

    Attributes:
        count: how often it was to be sent again.
    """

    __slots__ = ("count", "_lost_count", "_source_failed")

    def __init__(self) -> None:
        self.count = 0
        self._lost_count = 0
        self._source_failed: float | None = None

    def delay(self, reason: Reason, now: float, deadline: float) -> float | None:
        """Seconds to wait before the next try; None: there is none."""
        left = deadline - now
        if reason is Reason.LOST:
            self._lost_count += 1
            if self._lost_count >= LOST_MAX:
                return None
        if reason is Reason.SOURCE:
            if self._source_failed is None:
                self._source_failed = now
            left = min(left, self._source_failed + SOURCE_RETRY_S - now)
        if left < LEFT_S_MIN:
            return None
        delay = min(DELAY_S_MIN * 2.0 ** min(self.count, 16), DELAY_S_MAX)
        self.count += 1
        # Callers that failed together do not come back together; the last try shall have time for
        # its answer.
        return min(delay * random.uniform(0.75, 1.25), left / 2)
