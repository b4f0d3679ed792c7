import type { SourceFailure } from "./errors.js";

/** Where an answer came from; given to a call, which fills it, whether it fails or not. */
export class Outcome {
  /** The source that answered; empty for calls of the server itself and for merged answers. */
  source = "";
  /** Merged reads: the sources whose rows were merged. */
  mergedSources: readonly string[] = [];
  /** Merged reads: the sources whose rows are missing, and why. */
  failedSources: readonly SourceFailure[] = [];
  /** How often the call was sent or its connection tried. */
  attempts = 0;
}

/** What a call may be given beside its request. */
export interface CallOptions {
  /** Milliseconds that the call may take, retries included; else the client's timeoutMs. */
  timeoutMs?: number;
  /** A UUID by which the server does a repeated write once; else the client makes one. */
  requestId?: string;
  /** Gives the call up; it may have been carried out. */
  signal?: AbortSignal;
  /** Filled with where the answer came from. */
  outcome?: Outcome;
}

/** What every client may be given. */
export interface ClientOptions {
  /** Who this client is, where the server wants to know. */
  token?: string;
  /** Milliseconds that a call may take which gives no timeout of its own; default 30000. */
  timeoutMs?: number;
  /** More calls at a time fail with RESOURCE_EXHAUSTED; default 1024. */
  callsInFlightMax?: number;
  /** Point calls made at the same time that travel in one frame; default 32. */
  callsPerFrameMax?: number;
  /** A longer request fails with RESOURCE_EXHAUSTED; default 4 MiB. */
  requestBytesMax?: number;
  /** A longer reply fails with RESOURCE_EXHAUSTED; default 64 MiB. */
  replyBytesMax?: number;
}

/** A client's options without those that it was not given. */
export type Limits = Required<ClientOptions>;

/** The options with the defaults for those that are absent. */
export function limitsOf(options: ClientOptions): Limits {
  return {
    token: options.token ?? "",
    timeoutMs: options.timeoutMs ?? 30_000,
    callsInFlightMax: options.callsInFlightMax ?? 1024,
    callsPerFrameMax: options.callsPerFrameMax ?? 32,
    requestBytesMax: options.requestBytesMax ?? 4 << 20,
    replyBytesMax: options.replyBytesMax ?? 64 << 20,
  };
}
