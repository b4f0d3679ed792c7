import { Lost } from "./errors.js";
import { ID_BYTES, readId } from "./sp.js";
import { Wire } from "./wire.js";

/** What browsers' WebSocket and that of the package "ws" have in common. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: Uint8Array): void;
  close(): void;
}

/** The name under which nng's REP socket answers on a WebSocket. */
export const SUBPROTOCOL = "rep.sp.nanomsg.org";

/** What a connection over a WebSocket needs to know. */
export interface WebSocketOptions {
  url: string;
  replyBytesMax: number;
  connectTimeoutMs: number;
}

/** Waits until this socket is open; rejects with Lost. */
export function connectWebSocket(
  socket: WebSocketLike,
  options: WebSocketOptions,
): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer);
      socket.onopen = null;
      socket.close();
      reject(new Lost(`no connection to ${options.url}: ${reason}`, false));
    };
    const timer = setTimeout(() => fail("no answer in time"), options.connectTimeoutMs);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      clearTimeout(timer);
      resolve(new WebSocketWire(socket, options));
    };
    socket.onerror = (event: { message?: string }) => {
      fail(event.message || "there is no server, or it refused");
    };
    socket.onclose = () => fail("the server closed it");
  });
}

/** A connection over a WebSocket that is open. */
class WebSocketWire extends Wire {
  readonly #socket: WebSocketLike;

  constructor(socket: WebSocketLike, options: WebSocketOptions) {
    super(options.url, options.replyBytesMax);
    this.#socket = socket;
    socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    socket.onerror = () => this.#lose();
    socket.onclose = () => this.#lose();
  }

  protected override write(id: number, body: Uint8Array): void {
    const message = new Uint8Array(ID_BYTES + body.length);
    new DataView(message.buffer).setUint32(0, (id | 0x80000000) >>> 0);
    message.set(body, ID_BYTES);
    this.#socket.send(message);
  }

  protected override shut(): void {
    this.#socket.close();
  }

  #lose(): void {
    this.close(new Lost(`the connection to ${this.url} broke`, true));
  }

  #receive(data: unknown): void {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(0);
    const id = readId(bytes);
    if (id === undefined) {
      this.close(new Lost("the server sent a message that is no reply", true));
    } else if (bytes.length - ID_BYTES > this.replyBytesMax) {
      this.refuse(id, bytes.length - ID_BYTES);
    } else {
      this.settle(id, bytes.subarray(ID_BYTES));
    }
  }
}
