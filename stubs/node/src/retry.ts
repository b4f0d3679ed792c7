const DELAY_MS_MIN = 20;
const DELAY_MS_MAX = 1000;
const LEFT_MS_MIN = 100;
const LOST_MAX = 10;
const SOURCE_RETRY_MS = 2000;

/**
 * Why a try failed that may be repeated. "unreached": there was no connection, nothing was sent;
 * "lost": whether the call was carried out is not known; "server", "source": that is UNAVAILABLE.
 */
export type Reason = "unreached" | "lost" | "server" | "source";

/** When a call that has failed is sent again: the rule of docs/clients.md. No clock, no waiting. */
export class Retry {
  /** How often the call was to be sent again. */
  count = 0;
  #lostCount = 0;
  #sourceFailedMs: number | undefined;

  /** Milliseconds to wait before the next try; undefined: there is none. */
  delayMs(reason: Reason, nowMs: number, deadlineMs: number): number | undefined {
    let leftMs = deadlineMs - nowMs;
    if (reason === "lost") {
      this.#lostCount += 1;
      if (this.#lostCount >= LOST_MAX) {
        return undefined;
      }
    }
    if (reason === "source") {
      this.#sourceFailedMs ??= nowMs;
      leftMs = Math.min(leftMs, this.#sourceFailedMs + SOURCE_RETRY_MS - nowMs);
    }
    if (leftMs < LEFT_MS_MIN) {
      return undefined;
    }
    const delayMs = Math.min(DELAY_MS_MIN * 2 ** Math.min(this.count, 16), DELAY_MS_MAX);
    this.count += 1;
    // Callers that failed together do not come back together; the last try shall have time for its
    // answer.
    return Math.min(delayMs * (0.75 + Math.random() / 2), leftMs / 2);
  }
}
