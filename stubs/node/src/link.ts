import { ChatstoreError } from "./errors.js";
import type { Wire } from "./wire.js";

/** The connection of a client, made when the first call needs it and anew when it broke. */
export class Link {
  readonly #connect: () => Promise<Wire>;
  #wire: Wire | undefined;
  #connecting: Promise<Wire> | undefined;
  #isClosed = false;

  constructor(connect: () => Promise<Wire>) {
    this.#connect = connect;
  }

  /** The connection; rejects with Lost if there is none to be had, at once. */
  async wire(): Promise<Wire> {
    if (this.#isClosed) {
      throw closedError();
    }
    if (this.#wire && !this.#wire.isBroken) {
      return this.#wire;
    }
    this.#connecting ??= this.#make().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  /** Closes the connection; nothing can be sent any more. */
  close(): void {
    this.#isClosed = true;
    this.#wire?.close(closedError());
  }

  async #make(): Promise<Wire> {
    const wire = await this.#connect();
    if (this.#isClosed) {
      wire.close();
      throw closedError();
    }
    this.#wire = wire;
    return wire;
  }
}

function closedError(): ChatstoreError {
  return new ChatstoreError("FAILED_PRECONDITION", "the client is closed");
}
