import { BaseClient } from "./base.js";
import type { ClientOptions, Limits } from "./contract.js";
import { ChatstoreError } from "./errors.js";
import { SUBPROTOCOL, connectWebSocket } from "./websocket.js";
import type { Wire } from "./wire.js";

export * from "./exports.js";

const CONNECT_TIMEOUT_MS = 5000;

/** Calls to a server from a page, over a WebSocket: ws://host:port/path or wss://... */
export class Client extends BaseClient {
  constructor(
    readonly url: string,
    options: ClientOptions = {},
  ) {
    super(options);
    if (!/^wss?:\/\//.test(url)) {
      const text = `"${url}": a page can reach ws://host:port/path and wss://host:port/path`;
      throw new ChatstoreError("INVALID_ARGUMENT", text);
    }
  }

  protected override connect({ replyBytesMax }: Limits): Promise<Wire> {
    const options = { url: this.url, replyBytesMax, connectTimeoutMs: CONNECT_TIMEOUT_MS };
    return connectWebSocket(new WebSocket(this.url, SUBPROTOCOL), options);
  }
}
