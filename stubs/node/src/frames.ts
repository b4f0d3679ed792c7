import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChatstoreError } from "./errors.js";
import {
  CallSchema,
  ReplySchema,
  RequestSchema,
  type Call,
  type Result,
} from "./gen/chatstore/v1/envelope_pb.js";
import type { Limits } from "./contract.js";
import type { Link } from "./link.js";

const JOINED_BYTES_MAX = 256 << 10;
const TIMEOUT_MS_MAX = 0xffffffff;

/** One try of a call, which waits for its result. */
export class Try {
  /** The result, or why there is none. */
  readonly result: Promise<Result>;
  /** Whether the server may have got it. */
  isSent = false;
  isSettled = false;
  /** Called once, when the try is settled. */
  onSettled: (() => void) | undefined;
  #settle!: (result: Result | Error) => void;

  /**
   * @param deadline - in milliseconds of performance.now()
   * @param isPoint - may share a frame with others
   */
  constructor(
    readonly method: string,
    readonly payload: Uint8Array,
    readonly requestId: string,
    readonly deadline: number,
    readonly isPoint: boolean,
  ) {
    this.result = new Promise((resolve, reject) => {
      this.#settle = (result) => (result instanceof Error ? reject(result) : resolve(result));
    });
  }

  /** Ends the wait; only the first time counts. */
  settle(result: Result | Error): void {
    if (!this.isSettled) {
      this.isSettled = true;
      this.onSettled?.();
      this.#settle(result);
    }
  }

  /** The call as it travels, with the time that is left. */
  toCall(): Call {
    const { method, payload, requestId } = this;
    const leftMs = Math.ceil(this.deadline - performance.now());
    const timeoutMs = Math.min(Math.max(leftMs, 1), TIMEOUT_MS_MAX);
    return create(CallSchema, { method, payload, requestId, timeoutMs });
  }
}

/** Sends tries; point calls that are made at the same time travel in one frame. */
export class Frames {
  readonly #link: Link;
  readonly #limits: Limits;
  #queue: Try[] = [];

  constructor(link: Link, limits: Limits) {
    this.#link = link;
    this.#limits = limits;
  }

  /** Sends a try; its result settles it. */
  send(one: Try): void {
    if (!one.isPoint) {
      void this.#exchange([one]);
    } else if (this.#queue.push(one) === 1) {
      queueMicrotask(() => this.#flush());
    }
  }

  #flush(): void {
    const queue = this.#queue;
    this.#queue = [];
    let frame: Try[] = [];
    let bytes = 0;
    for (const one of queue) {
      const isFull = frame.length >= this.#limits.callsPerFrameMax;
      if (isFull || (frame.length > 0 && bytes + one.payload.length > JOINED_BYTES_MAX)) {
        void this.#exchange(frame);
        frame = [];
        bytes = 0;
      }
      frame.push(one);
      bytes += one.payload.length;
    }
    void this.#exchange(frame);
  }

  async #exchange(frame: Try[]): Promise<void> {
    try {
      const wire = await this.#link.wire();
      const live = frame.filter((one) => !one.isSettled);
      if (live.length === 0) {
        return;
      }
      const request = { token: this.#limits.token, calls: live.map((one) => one.toCall()) };
      const body = toBinary(RequestSchema, create(RequestSchema, request));
      const id = wire.send(body, (reply) => settleAll(live, reply));
      let waiting = live.length;
      for (const one of live) {
        one.isSent = true;
        one.onSettled = () => {
          waiting -= 1;
          if (waiting === 0) {
            wire.forget(id);
          }
        };
      }
    } catch (error) {
      settleAll(frame, error as Error);
    }
  }
}

function settleAll(frame: Try[], reply: Uint8Array | Error): void {
  const results = reply instanceof Error ? reply : readResults(reply, frame.length);
  frame.forEach((one, index) => {
    one.settle(results instanceof Error ? results : (results[index] as Result));
  });
}

function readResults(reply: Uint8Array, count: number): Result[] | Error {
  try {
    const results = fromBinary(ReplySchema, reply).results;
    const first = results[0];
    if (results.length === 1 && first?.status && first.status.code !== 0) {
      return new Array<Result>(count).fill(first); // the frame as a whole was refused
    }
    if (results.length === count) {
      return results;
    }
    return new ChatstoreError("INTERNAL", `${results.length} results for ${count} calls`);
  } catch (error) {
    return new ChatstoreError("INTERNAL", `the reply cannot be read: ${String(error)}`);
  }
}
