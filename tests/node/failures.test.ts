import assert from "node:assert/strict";
import { once } from "node:events";
import * as net from "node:net";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { WebSocketServer } from "ws";
import { Client, GetSettingResponseSchema, Outcome, Status } from "chatstore";
import { ReplySchema, RequestSchema, type Request } from "../dist/gen/chatstore/v1/envelope_pb.js";
import { SCHEMES, Server, atEnd, failure, freePort, makeFolder, open, spamCount } from "./support.js";

const HELLO = Buffer.from("0053500000310000", "hex");

/** A connection of a fake server. */
interface Peer {
  /** Which connection this is, from 1 on. */
  number: number;
  /** Sends these bytes as they are. */
  write(bytes: Uint8Array): void;
  /** Sends a reply. */
  reply(id: number, body: Uint8Array): void;
  close(): void;
}

interface FakeServer {
  greet?(peer: Peer): void;
  take?(peer: Peer, id: number, request: Request): void;
}

/** A server over TCP that does what it is told; returns its URL. */
async function fakeServer(t: TestContext, behaviour: FakeServer): Promise<string> {
  const sockets = new Set<net.Socket>();
  let number = 0;
  const server = net.createServer((socket) => {
    number += 1;
    sockets.add(socket);
    const peer = makePeer(socket, number);
    (behaviour.greet ?? (() => socket.write(HELLO)))(peer);
    let input = Buffer.alloc(0);
    let skip = HELLO.length;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      input = Buffer.concat([input, chunk]);
      for (;;) {
        const length = input.length >= skip + 8 ? Number(input.readBigUInt64BE(skip)) : Infinity;
        if (input.length < skip + 8 + length) {
          return;
        }
        const frame = input.subarray(skip + 8, skip + 8 + length);
        input = input.subarray(skip + 8 + length);
        skip = 0;
        behaviour.take?.(peer, frame.readUInt32BE(0), fromBinary(RequestSchema, frame.subarray(4)));
      }
    });
  });
  atEnd(t, () => {
    server.close();
    sockets.forEach((socket) => socket.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

function makePeer(socket: net.Socket, number: number): Peer {
  return {
    number,
    write: (bytes) => socket.write(bytes),
    close: () => socket.destroy(),
    reply(id, body) {
      const header = Buffer.alloc(12);
      header.writeBigUInt64BE(BigInt(body.length + 4));
      header.writeUInt32BE(id, 8);
      socket.write(header);
      for (const byte of body) {
        socket.write(Uint8Array.of(byte)); // the client must put it together
      }
    },
  };
}

function encodeReply(init: MessageInitShape<typeof ReplySchema>): Uint8Array {
  return toBinary(ReplySchema, create(ReplySchema, init));
}

// A connection from which nothing comes any more is not used for ever.
test("silence", async (t) => {
  let connections = 0;
  const url = await fakeServer(t, {
    take(peer, id) {
      connections = peer.number;
      if (peer.number > 1) {
        peer.reply(id, encodeReply({ results: [{}] }));
      }
    },
  });
  const client = open(t, url);
  for (const timeoutMs of [4000, 1500]) {
    await failure(client.ping({}, { timeoutMs }), "DEADLINE_EXCEEDED");
    assert.equal(connections, 1);
  }
  await client.ping({});
  assert.equal(connections, 2);
});

// The server is killed and started again while 4 loops count; nothing is lost or done twice.
test("restart", async (t) => {
  for (const scheme of SCHEMES) {
    await t.test(scheme, async (t) => {
      const server = await Server.run(t, makeFolder(t), "--db", "bot.db");
      const client = open(t, server.url(scheme));
      let isOver = false;
      let written = 0;
      const count = async (): Promise<void> => {
        while (!isOver) {
          await client.updateTokenStats({ token: "n", isSpam: true });
          written += 1;
        }
      };
      const loops = Promise.all([count(), count(), count(), count()]);
      for (const signal of ["SIGKILL", "SIGTERM"] as const) {
        await sleep(200);
        await server.stop(signal);
        await sleep(100);
        await server.start();
      }
      await sleep(200);
      isOver = true;
      await loops;
      assert.equal(await spamCount(client, "n"), BigInt(written));
      assert(written >= 8);
    });
  }
});

// 64 requests are on one connection before the first is answered, in reverse order.
test("pipelining", async (t) => {
  const waiting: number[] = [];
  const connections = new Set<number>();
  const url = await fakeServer(t, {
    take(peer, id, request) {
      connections.add(peer.number);
      waiting.push(id);
      assert.equal(request.calls.length, 1);
      if (waiting.length === 64) {
        waiting.reverse().forEach((each) => peer.reply(each, encodeReply({ results: [{ payload: Uint8Array.of() }] })));
      }
    },
  });
  const client = open(t, url);
  const calls = Array.from({ length: 64 }, () => client.getSettings({}));
  await Promise.all(calls);
  assert.equal(connections.size, 1);
});

test("point calls made at the same time share a frame", async (t) => {
  const frames: number[] = [];
  const url = await fakeServer(t, {
    take(peer, id, { calls }) {
      frames.push(calls.length);
      const results = calls.map((_, i) => {
        const value = create(GetSettingResponseSchema, { value: String(i) });
        return { payload: toBinary(GetSettingResponseSchema, value) };
      });
      peer.reply(id, encodeReply({ results }));
    },
  });
  const client = open(t, url);
  const found = await Promise.all(Array.from({ length: 40 }, () => client.getSetting({ key: "k" })));
  assert.deepEqual(frames, [32, 8]);
  assert.equal(found[33]?.value, "1");
});

test("deadline", async (t) => {
  const client = open(t, await fakeServer(t, {}), { timeoutMs: 300 });
  const began = performance.now();
  await failure(client.ping({}), "DEADLINE_EXCEEDED", "Ping: no reply in time");
  assert(performance.now() - began < 2000);
  await assert.rejects(client.ping({}, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
});

test("no server", async (t) => {
  const port = await freePort();
  for (const url of [`tcp://127.0.0.1:${port}`, `ws://127.0.0.1:${port}/chat`, "ipc:///nowhere.sock"]) {
    const client = open(t, url);
    await failure(client.ping({}, { timeoutMs: 300 }), "UNAVAILABLE", url);
    client.close();
    await failure(client.ping({}), "FAILED_PRECONDITION", "closed");
  }
});

test("close", async (t) => {
  const client = open(t, await fakeServer(t, {}));
  const call = client.ping({});
  setTimeout(() => client.close(), 100);
  await failure(call, "FAILED_PRECONDITION", "Ping: the client is closed");
});

test("urls", () => {
  for (const url of ["http://x", "tcp://host", "tcp://:5", "ipc://", "bot.db", "ws:", ""]) {
    assert.throws(() => new Client(url), { status: "INVALID_ARGUMENT" }, url);
  }
});

test("too many calls", async (t) => {
  const client = open(t, await fakeServer(t, {}), { callsInFlightMax: 1, timeoutMs: 200 });
  const first = client.ping({});
  await failure(client.ping({}), "RESOURCE_EXHAUSTED", "callsInFlightMax");
  await failure(first, "DEADLINE_EXCEEDED");
});

// What a server that is broken, or none, may send.
test("garbage", async (t) => {
  const good = encodeReply({ results: [{}] });
  const cases: Record<string, [Uint8Array, string]> = {
    "no protobuf": [Uint8Array.of(0xff, 0xff, 0xff), "INTERNAL"],
    "no results": [Uint8Array.of(), "INTERNAL"],
    "too many results": [Buffer.concat([good, good]), "INTERNAL"],
    "no response in it": [encodeReply({ results: [{ payload: Uint8Array.of(0xff) }] }), "INTERNAL"],
    "an unknown status": [encodeReply({ results: [{ status: { code: 99 } }] }), "UNKNOWN"],
    "what is right": [good, "OK"],
  };
  for (const [name, [reply, status]] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      const url = await fakeServer(t, {
        take(peer, id) {
          peer.reply((id + 7) >>> 0, good); // nobody asked
          peer.reply(id, reply);
        },
      });
      const call = open(t, url).ping({}, { timeoutMs: 10_000 });
      const got = await call.then(() => "OK", (error: { status: string }) => error.status);
      assert.equal(got, status);
    });
  }
});

// The first connections break in every way; the call succeeds on a later one, with the same id.
test("reconnect", async (t) => {
  const ids = new Set<string | undefined>();
  const url = await fakeServer(t, {
    greet(peer) {
      if (peer.number === 1) {
        peer.close();
      } else if (peer.number === 2) {
        peer.write(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
      } else {
        peer.write(peer.number === 3 ? Buffer.from("0053500000100000", "hex") : HELLO);
      }
    },
    take(peer, id, request) {
      ids.add(request.calls[0]?.requestId);
      if (peer.number === 4) {
        peer.write(Buffer.from("0000000000000064", "hex"));
        peer.close();
      } else if (peer.number === 5) {
        peer.write(Buffer.alloc(12));
      } else {
        const code = ids.has("answered") ? 0 : Status.UNAVAILABLE;
        ids.add("answered");
        peer.reply(id, encodeReply({ results: [{ status: { code } }] }));
      }
    },
  });
  const outcome = new Outcome();
  await open(t, url).setSetting({ key: "k" }, { outcome });
  ids.delete("answered");
  assert.equal(ids.size, 1);
  assert.equal(outcome.attempts, 7);
});

// The rule of docs/clients.md.
test("UNAVAILABLE", async (t) => {
  const down = { status: { code: Status.UNAVAILABLE, message: "down" } };
  await t.test("the server: for as long as the call may take", async (t) => {
    let left = 7;
    const url = await fakeServer(t, {
      take(peer, id) {
        left -= 1;
        peer.reply(id, encodeReply({ results: [left < 0 ? {} : down] }));
      },
    });
    const outcome = new Outcome();
    await open(t, url).ping({}, { outcome });
    assert.equal(outcome.attempts, 8);
  });
  await t.test("a source: for two seconds", async (t) => {
    const reply = encodeReply({ results: [{ ...down, source: "main" }] });
    const url = await fakeServer(t, { take: (peer, id) => peer.reply(id, reply) });
    const began = performance.now();
    await failure(open(t, url).getSetting({ key: "k" }), "UNAVAILABLE", "down");
    const took = performance.now() - began;
    assert.ok(took > 1500 && took < 10_000, `${took} ms`);
  });
});

test("what breaks connections is not sent for ever", async (t) => {
  let count = 0;
  const url = await fakeServer(t, {
    take(peer) {
      count += 1;
      peer.close();
    },
  });
  await failure(open(t, url).getSetting({ key: "k" }), "UNAVAILABLE", "broke");
  assert.equal(count, 10);
});

test("a reply that is too long", async (t) => {
  const long = { status: { code: 3, message: "x".repeat(100) } };
  const reply = encodeReply({ results: [long] });
  const url = await fakeServer(t, { take: (peer, id) => peer.reply(id, reply) });
  const client = open(t, url, { replyBytesMax: 99 });
  await failure(client.ping({}), "RESOURCE_EXHAUSTED", "replyBytesMax");
  await failure(open(t, url).ping({}), "INVALID_ARGUMENT", "xxx");
});

test("a WebSocket server that sends garbage", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  atEnd(t, () => {
    server.clients.forEach((socket) => socket.terminate());
    server.close();
  });
  await once(server, "listening");
  let connections = 0;
  server.on("connection", (socket) => {
    connections += 1;
    socket.on("message", (data: Buffer) => {
      const bad = ["text", Buffer.of(1), Buffer.of(1, 2, 3, 4)][connections - 1];
      const good = Buffer.concat([data.subarray(0, 4), encodeReply({ results: [{}] })]);
      socket.send(bad ?? good);
    });
  });
  const { port } = server.address() as net.AddressInfo;
  await open(t, `ws://127.0.0.1:${port}/`).ping({});
  assert.equal(connections, 4);
});
