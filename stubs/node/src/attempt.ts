import {
  create,
  fromBinary,
  getOption,
  toBinary,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { CallOptions, Limits } from "./contract.js";
import { ChatstoreError, Lost, type StatusName } from "./errors.js";
import { Try } from "./frames.js";
import type { Result } from "./gen/chatstore/v1/envelope_pb.js";
import { Access, Cost, call as callOption } from "./gen/chatstore/v1/options_pb.js";
import { Retry, type Reason } from "./retry.js";
import { newRequestId } from "./uuid.js";

const UNKNOWN_OUTCOME = "whether it was carried out is not known";

/**
 * One call from its request to its response, over as many tries as its time allows.
 *
 * A try that found no server, lost it, or was answered UNAVAILABLE is repeated as Retry says. Reads
 * may be repeated without harm; writes carry a request id, the same in every try, by which the
 * server does them once.
 */
export class Attempt<I extends DescMessage, O extends DescMessage> {
  readonly name: string;
  readonly #method: DescMethodUnary<I, O>;
  readonly #options: CallOptions;
  readonly #payload: Uint8Array;
  readonly #requestId: string;
  readonly #isPoint: boolean;
  readonly #deadline: number;
  readonly #retry = new Retry();
  #isUnknown = false;
  /** Why the last connection could not be made, as the end of a text. */
  #reason = "";

  /** Throws ChatstoreError for a request that cannot be sent. */
  constructor(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
    limits: Limits,
  ) {
    const timeoutMs = options.timeoutMs ?? limits.timeoutMs;
    const { access, cost } = getOption(method, callOption);
    this.name = method.name;
    this.#method = method;
    this.#options = options;
    if (!(timeoutMs > 0)) {
      throw this.#error("INVALID_ARGUMENT", `timeoutMs must be more than 0, not ${timeoutMs}`);
    }
    this.#deadline = performance.now() + timeoutMs;
    this.#isPoint = cost === Cost.POINT;
    this.#requestId = access === Access.WRITE ? options.requestId ?? newRequestId() : "";
    this.#payload = this.#encode(request);
    if (this.#payload.length > limits.requestBytesMax) {
      const text = `the request has ${this.#payload.length} bytes; at most`;
      throw this.#error("RESOURCE_EXHAUSTED", `${text} ${limits.requestBytesMax} are sent (requestBytesMax)`);
    }
  }

  /** Milliseconds until the deadline, at least 0. */
  remainingMs(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** The next try. */
  nextTry(): Try {
    const method = `/${this.#method.parent.typeName}/${this.name}`;
    return new Try(method, this.#payload, this.#requestId, this.#deadline, this.#isPoint);
  }

  /** The response in a result; throws what its status says. */
  read(result: Result): MessageShape<O> {
    const { status, source, failedSources, mergedSources } = result;
    const { outcome } = this.#options;
    if (outcome) {
      Object.assign(outcome, { source, failedSources, mergedSources });
      outcome.attempts = this.#retry.count + 1;
    }
    if (status && status.code !== 0) {
      const details = { method: this.name, source, failedSources };
      throw new ChatstoreError(status.code, status.message, details);
    }
    try {
      return fromBinary(this.#method.output, result.payload);
    } catch (error) {
      throw this.#error("INTERNAL", `the response cannot be read: ${String(error)}`);
    }
  }

  /** Milliseconds to wait before the next try; throws if there is none. */
  failed(error: unknown): number {
    if (error instanceof Lost) {
      this.#isUnknown ||= error.sent;
      this.#reason = `; before that: ${error.message}`;
    }
    const reason = reasonOf(error);
    if (!reason) {
      throw this.#named(error);
    }
    const delayMs = this.#retry.delayMs(reason, performance.now(), this.#deadline);
    if (delayMs === undefined) {
      throw error instanceof Lost ? this.#lastError(error) : error;
    }
    return delayMs;
  }

  /** The error of a try that got no result in time from the server at this URL. */
  tooLate(isSent: boolean, url: string): ChatstoreError {
    return isSent || this.#isUnknown
      ? this.#error("DEADLINE_EXCEEDED", `no reply in time; ${UNKNOWN_OUTCOME}`)
      : this.#error("UNAVAILABLE", `no connection to ${url} in time${this.#reason}`);
  }

  #lastError(error: Error): ChatstoreError {
    if (!this.#isUnknown) {
      return this.#error("UNAVAILABLE", error.message);
    }
    const status = this.#requestId === "" ? "UNAVAILABLE" : "DEADLINE_EXCEEDED";
    return this.#error(status, `${error.message}; ${UNKNOWN_OUTCOME}`);
  }

  #encode(request: MessageInitShape<I>): Uint8Array {
    try {
      return toBinary(this.#method.input, create(this.#method.input, request));
    } catch (error) {
      throw this.#error("INVALID_ARGUMENT", (error as Error).message);
    }
  }

  #error(status: StatusName, text: string): ChatstoreError {
    return new ChatstoreError(status, `${this.name}: ${text}`, { method: this.name });
  }

  /** Errors of the connection do not know whose call they end. */
  #named(error: unknown): unknown {
    if (error instanceof ChatstoreError && error.method === "") {
      const text = `${this.name}: ${error.message}`;
      return new ChatstoreError(error.code, text, { method: this.name });
    }
    return error;
  }
}

/** Why the try may be repeated; undefined: it may not. */
function reasonOf(error: unknown): Reason | undefined {
  if (error instanceof Lost) {
    return error.sent ? "lost" : "unreached";
  }
  if (error instanceof ChatstoreError && error.status === "UNAVAILABLE") {
    return error.source !== "" || error.failedSources.length > 0 ? "source" : "server";
  }
  return undefined;
}
