import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { Attempt } from "./attempt.js";
import { limitsOf, type CallOptions, type ClientOptions, type Limits } from "./contract.js";
import { ChatstoreError } from "./errors.js";
import { Frames } from "./frames.js";
import { Calls } from "./gen/calls.js";
import type { Result } from "./gen/chatstore/v1/envelope_pb.js";
import { Link } from "./link.js";
import type { Wire } from "./wire.js";

/** What setTimeout can wait; a longer deadline is looked at again by then. */
const TIMER_MS_MAX = 0x7fffffff;

/** What clients have in common; they differ in how they connect. */
export abstract class BaseClient extends Calls {
  readonly #link: Link;
  readonly #frames: Frames;
  readonly #limits: Limits;
  #inFlight = 0;
  /** The server's address. */
  abstract readonly url: string;

  constructor(options: ClientOptions) {
    super();
    this.#limits = limitsOf(options);
    this.#link = new Link(() => this.connect(this.#limits));
    this.#frames = new Frames(this.#link, this.#limits);
  }

  /**
   * Any call, by its descriptor, as in UserService.method.getChatUser. Every call has a method of
   * its own too, which does this.
   */
  override async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const max = this.#limits.callsInFlightMax;
    if (this.#inFlight >= max) {
      const text = `${max} calls of this client are under way (callsInFlightMax)`;
      throw new ChatstoreError("RESOURCE_EXHAUSTED", `${method.name}: ${text}`, {
        method: method.name,
      });
    }
    const attempt = new Attempt(method, request, options, this.#limits);
    this.#inFlight += 1;
    try {
      return await this.#complete(attempt, options.signal);
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Closes the connection. Calls under way fail, and so do those that follow. */
  close(): void {
    this.#link.close();
  }

  /** Makes a connection; rejects with Lost. */
  protected abstract connect(limits: Limits): Promise<Wire>;

  async #complete<I extends DescMessage, O extends DescMessage>(
    attempt: Attempt<I, O>,
    signal: AbortSignal | undefined,
  ): Promise<MessageShape<O>> {
    for (;;) {
      let delayMs: number;
      try {
        return attempt.read(await this.#try(attempt, signal));
      } catch (error) {
        delayMs = attempt.failed(error);
      }
      await sleep(delayMs, signal);
    }
  }

  async #try<I extends DescMessage, O extends DescMessage>(
    attempt: Attempt<I, O>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    signal?.throwIfAborted();
    const one = attempt.nextTry();
    const abort = (): void => one.settle(abortError(signal));
    const timer = setTimeout(
      () => one.settle(attempt.tooLate(one.isSent, this.url)),
      Math.min(attempt.remainingMs(), TIMER_MS_MAX),
    );
    signal?.addEventListener("abort", abort);
    try {
      this.#frames.send(one);
      return await one.result;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      signal?.aborted ? reject(abortError(signal)) : resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error(`aborted: ${String(reason)}`);
}
