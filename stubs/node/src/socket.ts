import * as net from "node:net";
import * as tls from "node:tls";
import { Lost } from "./errors.js";
import { HELLO, checkHello, headerBytes, packHeader, readHeader } from "./sp.js";
import { Wire } from "./wire.js";

/** What a connection over a socket needs to know. */
export interface SocketOptions {
  url: string;
  replyBytesMax: number;
  connectTimeoutMs: number;
  tls: tls.ConnectionOptions;
}

/** Connects to an ipc://, abstract://, tcp:// or tls+tcp:// URL; rejects with Lost. */
export function connectSocket(target: URL, options: SocketOptions): Promise<Wire> {
  const scheme = target.protocol;
  const isLocal = scheme === "ipc:" || scheme === "abstract:";
  return new Promise((resolve, reject) => {
    const socket = isLocal
      ? net.connect({ path: localPath(options.url) })
      : connectTcp(target, scheme === "tls+tcp:", options.tls);
    const wire = new SocketWire(socket, isLocal, options);
    const timer = setTimeout(() => {
      wire.close(new Lost("no answer in time", false));
    }, options.connectTimeoutMs);
    wire.greeted.then(resolve, (error: Error) => {
      reject(new Lost(`no connection to ${options.url}: ${error.message}`, false));
    }).finally(() => clearTimeout(timer));
  });
}

function localPath(url: string): string {
  const rest = url.slice(url.indexOf("://") + 3);
  return url.startsWith("abstract:") ? `\0${rest}` : rest;
}

function connectTcp(target: URL, secure: boolean, options: tls.ConnectionOptions): net.Socket {
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const port = Number(target.port);
  const socket = secure
    ? tls.connect({ servername: net.isIP(host) ? "" : host, ...options, host, port })
    : net.connect({ host, port });
  return socket.setNoDelay(true).setKeepAlive(true, 30_000);
}

/** A connection over a socket. */
class SocketWire extends Wire {
  /** Fulfilled when the server has said hello; rejected if the connection breaks before. */
  readonly greeted: Promise<Wire>;
  readonly #socket: net.Socket;
  readonly #isLocal: boolean;
  readonly #input = new Input();
  #greet: ((error?: Error) => void) | undefined;
  #header: { id: number; bodyBytes: number } | undefined;

  constructor(socket: net.Socket, isLocal: boolean, options: SocketOptions) {
    super(options.url, options.replyBytesMax);
    this.#socket = socket;
    this.#isLocal = isLocal;
    this.greeted = new Promise((resolve, reject) => {
      this.#greet = (error) => (error === undefined ? resolve(this) : reject(error));
    });
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => this.#lose(error.message));
    socket.on("close", () => this.#lose("the server closed it"));
    socket.write(HELLO);
    this.setIdle(true);
  }

  override close(reason?: Error): void {
    this.#greet?.(reason ?? new Error("the client is closed"));
    this.#greet = undefined;
    super.close(reason);
  }

  protected override write(id: number, body: Uint8Array): void {
    this.#socket.cork();
    this.#socket.write(packHeader(this.#isLocal, id, body.length));
    this.#socket.write(body);
    this.#socket.uncork();
  }

  protected override shut(): void {
    this.#socket.destroy();
  }

  protected override setIdle(isIdle: boolean): void {
    isIdle ? this.#socket.unref() : this.#socket.ref();
  }

  #lose(reason: string): void {
    const text = this.#greet ? reason : `the connection to ${this.url} broke: ${reason}`;
    this.close(new Lost(text, true));
  }

  #receive(chunk: Buffer): void {
    this.#input.push(chunk);
    try {
      while (!this.isBroken && this.#takeOne()) {
        // each turn takes a hello, a header or a body
      }
    } catch (error) {
      this.close(error as Error);
    }
  }

  #takeOne(): boolean {
    if (this.#greet) {
      return this.#takeHello();
    }
    return this.#header ? this.#takeBody(this.#header) : this.#takeHeader();
  }

  #takeHello(): boolean {
    const hello = this.#input.take(HELLO.length);
    if (hello) {
      checkHello(hello);
      this.#greet?.();
      this.#greet = undefined;
    }
    return hello !== undefined;
  }

  #takeHeader(): boolean {
    const bytes = this.#input.take(headerBytes(this.#isLocal));
    if (!bytes) {
      return false;
    }
    this.#header = readHeader(this.#isLocal, bytes);
    if (this.#header.bodyBytes > this.replyBytesMax) {
      this.refuse(this.#header.id, this.#header.bodyBytes);
    }
    return true;
  }

  #takeBody(header: { id: number; bodyBytes: number }): boolean {
    const body = this.#input.take(header.bodyBytes);
    if (body) {
      this.#header = undefined;
      this.settle(header.id, body);
    }
    return body !== undefined;
  }
}

/** The bytes that have come and not been taken. */
class Input {
  #chunks: Buffer[] = [];
  #length = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next bytes, once all of them are there. */
  take(bytes: number): Buffer | undefined {
    if (this.#length < bytes) {
      return undefined;
    }
    const first = this.#chunks[0] ?? Buffer.alloc(0);
    const whole = first.length >= bytes ? first : Buffer.concat(this.#chunks);
    const rest = whole.subarray(bytes);
    if (whole === first) {
      this.#chunks.shift();
    } else {
      this.#chunks = [];
    }
    if (rest.length > 0) {
      this.#chunks.unshift(rest);
    }
    this.#length -= bytes;
    return whole.subarray(0, bytes);
  }
}
