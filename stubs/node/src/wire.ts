import { ChatstoreError, Lost } from "./errors.js";
import { ID_MAX } from "./sp.js";

const SILENT_MS_MAX = 5000;

/** Takes the reply to a request, or why there is none. */
export type Settle = (reply: Uint8Array | Error) => void;

/** One connection: requests go out, replies find those who wait for them by their ids. */
export abstract class Wire {
  readonly #waiting = new Map<number, Settle>();
  #lastId = 0;
  #isBroken = false;
  /** When the first request was sent after the last reply; undefined: none was. */
  #silentSince: number | undefined;

  /**
   * @param url - for the texts of errors
   * @param replyBytesMax - a longer reply is RESOURCE_EXHAUSTED
   */
  constructor(
    readonly url: string,
    protected readonly replyBytesMax: number,
  ) {}

  /** Whether nothing can be sent any more. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Sends a request; returns its id, by which it can be forgotten. */
  send(body: Uint8Array, settle: Settle): number {
    do {
      this.#lastId = (this.#lastId + 1) & ID_MAX;
    } while (this.#waiting.has(this.#lastId));
    this.#waiting.set(this.#lastId, settle);
    this.#silentSince ??= performance.now();
    this.setIdle(false);
    this.write(this.#lastId, body);
    return this.#lastId;
  }

  /**
   * Nobody waits for the reply to this request any more. If nothing has come for long, the connection goes: TCP
   * itself takes a quarter of an hour to notice that one of its addresses is gone.
   */
  forget(id: number): void {
    if (!this.#waiting.delete(id) || this.#isBroken) {
      return;
    }
    if (performance.now() - (this.#silentSince ?? Infinity) >= SILENT_MS_MAX) {
      this.close(new Lost(`the connection to ${this.url} was silent`, true));
    } else if (this.#waiting.size === 0) {
      this.setIdle(true);
    }
  }

  /** Closes the connection; those who wait get a Lost. */
  close(reason: Error = new Lost(`the connection to ${this.url} was closed`, true)): void {
    if (this.#isBroken) {
      return;
    }
    this.#isBroken = true;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.shut();
    for (const settle of waiting) {
      settle(reason);
    }
  }

  /** Sends the message of this id. */
  protected abstract write(id: number, body: Uint8Array): void;

  /** Closes the socket. */
  protected abstract shut(): void;

  /** An idle connection does not keep the process running, where that can be had. */
  protected setIdle(_isIdle: boolean): void {}

  /** A reply has come; one that nobody waits for is dropped. */
  protected settle(id: number, reply: Uint8Array | Error): void {
    const settle = this.#waiting.get(id);
    this.#silentSince = undefined;
    this.forget(id);
    settle?.(reply);
  }

  /** A reply is longer than this client takes: its call fails and, unread, the connection goes. */
  protected refuse(id: number, bodyBytes: number): void {
    const text = `the reply has ${bodyBytes} bytes; at most ${this.replyBytesMax} are taken`;
    this.settle(id, new ChatstoreError("RESOURCE_EXHAUSTED", `${text} (replyBytesMax)`));
    this.close(new Lost(`the connection to ${this.url} was closed: a reply is too long`, true));
  }
}
