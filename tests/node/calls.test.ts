import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { Outcome, Status, newRequestId, timestampDate, timestampFromDate, type Client } from "chatstore";
import { SCHEMES, Server, failure, makeFolder, open, spamCount, startCluster } from "./support.js";

test("calls", async (t) => {
  const server = await startCluster(t);
  for (const scheme of SCHEMES) {
    await t.test(scheme, async (t) => {
      const client = open(t, server.url(scheme));
      await t.test("ping", async () => {
        assert.ok((await client.ping({})).server?.version);
      });
      await t.test("a user", () => testUser(client));
      await t.test("routing", () => testRouting(client));
      await t.test("merged", () => testMerged(client));
      await t.test("refusals", () => testRefusals(client));
      await t.test("request id", () => testRequestId(client, scheme));
      await t.test("large", () => testLarge(client, scheme));
      await t.test("parallel", () => testParallel(client, scheme));
    });
  }
});

async function testUser(client: Client): Promise<void> {
  const userId = 1n << 60n;
  assert.equal((await client.getChatUser({ chatId: -9n, userId: 404n })).user, undefined);
  const written = await client.updateChatUser({
    chatId: -9n, userId, username: "@é", fullName: "Ünï 😀",
  });
  assert.equal(written.changedRows, 1n);
  const outcome = new Outcome();
  const { user } = await client.getChatUser({ chatId: -9n, userId }, { outcome });
  assert.equal(user?.userId, userId);
  assert.equal(user.fullName, "Ünï 😀");
  assert.equal(user.timezone, undefined);
  assert(user.createdAt);
  assert(Math.abs(timestampDate(user.createdAt).getTime() - Date.now()) < 60_000);
  assert.equal(outcome.source, "main");
  assert.equal(outcome.attempts, 1);
}

async function testRouting(client: Client): Promise<void> {
  for (const request of [
    { chatId: -3000n, userId: 7n },
    { chatId: -100n, userId: 7n, dataSource: "archive" },
  ]) {
    const outcome = new Outcome();
    const { user } = await client.getChatUser(request, { outcome });
    assert.equal(user?.fullName, "Ann");
    assert.equal(outcome.source, "archive");
  }
}

async function testMerged(client: Client): Promise<void> {
  await client.updateChatInfo({ chatId: -100n, type: "supergroup" });
  await client.updateChatUser({ chatId: -100n, userId: 7n });
  const outcome = new Outcome();
  const { chats } = await client.getUserChats({ userId: 7n }, { outcome });
  assert.deepEqual(
    chats.map(({ chatId, type }) => [chatId, type]),
    [[-100n, "supergroup"], [-3000n, "group"]],
  );
  assert.equal(outcome.source, "");
  assert.deepEqual(outcome.mergedSources, ["main", "archive"]);
  assert.deepEqual(
    outcome.failedSources.map(({ source, code }) => [source, code]),
    [["broken", Status.UNAVAILABLE]],
  );
}

async function testRefusals(client: Client): Promise<void> {
  const readonly = await failure(
    client.updateChatUser({ chatId: -3000n, userId: 7n }), "FAILED_PRECONDITION", "archive",
  );
  assert.equal(readonly.method, "UpdateChatUser");
  assert.equal(readonly.source, "archive");
  assert.equal(readonly.code, 9);
  await failure(client.getChatUser({ userId: 7n }), "INVALID_ARGUMENT", "chat_id");
  await failure(client.getChatUsers({ chatId: -9n, limit: -1 }), "INVALID_ARGUMENT", "limit");
  await failure(client.getChatUsers({ chatId: -9n, limit: 2 ** 31 }), "INVALID_ARGUMENT", "limit");
  const down = { chatId: -9n, userId: 7n, dataSource: "broken" };
  await failure(client.getChatUser(down), "UNAVAILABLE", "broken");
  const long = "x".repeat(4 << 20);
  await failure(client.setSetting({ key: "k", value: long }), "RESOURCE_EXHAUSTED", "requestBytesMax");
  await failure(client.ping({}, { timeoutMs: 0 }), "INVALID_ARGUMENT", "timeoutMs");
}

async function testRequestId(client: Client, scheme: string): Promise<void> {
  const requestId = newRequestId();
  const request = { token: `once-${scheme}`, isSpam: true, increment: 1n };
  assert.match(requestId, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  for (let i = 0; i < 3; i += 1) {
    await client.updateTokenStats(request, { requestId });
  }
  assert.equal(await spamCount(client, request.token), 1n);
  const other = client.updateTokenStats({ ...request, increment: 2n }, { requestId });
  await failure(other, "ALREADY_EXISTS", requestId);
}

async function testLarge(client: Client, scheme: string): Promise<void> {
  const chatId = { ipc: -1001n, tcp: -1002n, ws: -1003n }[scheme] ?? 0n;
  const messageText = "0123456789abcdé".repeat(1 << 16);
  await client.updateChatUser({ chatId, userId: 7n });
  for (let i = 0; i < 5; i += 1) {
    const date = timestampFromDate(new Date(1_700_000_000_000 + 1000 * i));
    await client.saveChatMessage({ date, chatId, userId: 7n, messageId: `${scheme}${i}`, messageText });
  }
  const { messages } = await client.getChatMessagesSince({ chatId });
  assert.deepEqual(messages.map(({ messageId }) => messageId.slice(scheme.length)), [..."43210"]);
  assert(messages.every((message) => message.messageText === messageText));
}

async function testParallel(client: Client, scheme: string): Promise<void> {
  const keys = Array.from({ length: 200 }, (_, i) => `${scheme}${i}`);
  await Promise.all(keys.map((key) => client.setSetting({ key, value: `value of ${key}` })));
  const found = await Promise.all(keys.map((key) => client.getSetting({ key })));
  assert.deepEqual(found.map(({ value }) => value), keys.map((key) => `value of ${key}`));
}

// The program of the README, which the script that runs the tests cuts out. It ends by itself.
test("README", async (t) => {
  const server = await Server.run(t, makeFolder(t), "--db", "bot.db");
  const program = path.join(import.meta.dirname, "example.js");
  const { stdout } = await promisify(execFile)(process.execPath, [program], {
    env: { ...process.env, CHATSTORE_URL: server.url("ipc") },
    timeout: 20_000,
  });
  assert.match(stdout, /^Ann\nINVALID_ARGUMENT .*chat_id.*\n/);
});
