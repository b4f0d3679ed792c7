import type { ConnectionOptions } from "node:tls";
import { WebSocket } from "ws";
import { BaseClient } from "./base.js";
import type { ClientOptions, Limits } from "./contract.js";
import { ChatstoreError } from "./errors.js";
import { connectSocket } from "./socket.js";
import { ID_BYTES } from "./sp.js";
import { SUBPROTOCOL, connectWebSocket } from "./websocket.js";
import type { Wire } from "./wire.js";

export * from "./exports.js";

const CONNECT_TIMEOUT_MS = 5000;
const HOST_SCHEMES = ["tcp:", "tls+tcp:", "ws:", "wss:"];

/** What a client in Node may be given. */
export interface NodeClientOptions extends ClientOptions {
  /** For tls+tcp and wss, as in node:tls; absent: the certificates that Node trusts. */
  tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername">;
}

/**
 * Calls to a server.
 *
 * All calls share one connection, which is made when the first call needs it and again when it
 * breaks. Calls fail with ChatstoreError; they are repeated as the README says, until their
 * timeout. An open client over a socket does not keep the process running.
 */
export class Client extends BaseClient {
  readonly url: string;
  readonly #target: URL;
  readonly #tls: ConnectionOptions;

  /**
   * @param url - ipc:///path, abstract://name, tcp://host:port, tls+tcp://host:port,
   *   ws://host:port/path, wss://host:port/path; absent: $CHATSTORE_URL, else the server's default
   * @param options - its token, if absent, is $CHATSTORE_TOKEN
   */
  constructor(url: string = defaultUrl(), options: NodeClientOptions = {}) {
    super({ ...options, token: options.token ?? process.env["CHATSTORE_TOKEN"] ?? "" });
    this.url = url;
    this.#target = parseUrl(url);
    this.#tls = options.tls ?? {};
  }

  protected override connect({ replyBytesMax }: Limits): Promise<Wire> {
    const options = { url: this.url, replyBytesMax, connectTimeoutMs: CONNECT_TIMEOUT_MS };
    if (!this.#target.protocol.startsWith("ws")) {
      return connectSocket(this.#target, { ...options, tls: this.#tls });
    }
    const socket = new WebSocket(this.url, SUBPROTOCOL, {
      ...this.#tls,
      maxPayload: replyBytesMax + ID_BYTES,
      perMessageDeflate: false,
    });
    return connectWebSocket(socket, options);
  }
}

function defaultUrl(): string {
  const { CHATSTORE_URL, XDG_RUNTIME_DIR } = process.env;
  return CHATSTORE_URL || `ipc://${XDG_RUNTIME_DIR || "/run/chatstore"}/chatstore.sock`;
}

function parseUrl(url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined;
  const scheme = target?.protocol ?? "";
  const isLocal = /^(ipc|abstract):\/\/./.test(url);
  if (!target || !(isLocal || HOST_SCHEMES.includes(scheme))) {
    const text = "the Node client knows ipc:///path, tcp://host:port, tls+tcp://host:port, ws://...";
    throw new ChatstoreError("INVALID_ARGUMENT", `"${url}": ${text}`);
  }
  const needsPort = scheme.endsWith("tcp:") && !(target.hostname && target.port);
  if (needsPort) {
    const text = `"${url}" needs a host and a port, as in ${scheme}//host:5555`;
    throw new ChatstoreError("INVALID_ARGUMENT", text);
  }
  return target;
}
