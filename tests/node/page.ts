/* What runs in the browser: calls over a WebSocket, whose results go to the test that serves the page. */
import { ChatstoreError, Client, Outcome, timestampFromDate } from "chatstore";

async function run(url: string): Promise<Record<string, unknown>> {
  const client = new Client(url);
  const outcome = new Outcome();
  const chatId = -5000n;
  const { server } = await client.ping({});
  await client.updateChatUser({ chatId, userId: 7n, fullName: "Ünï 😀" });
  const { user } = await client.getChatUser({ chatId, userId: 7n });
  const { chats } = await client.getUserChats({ userId: 7n }, { outcome });
  const refused = await client.updateChatUser({ chatId: -3000n, userId: 7n }).catch(String);
  const missing = await client.getChatUser({ userId: 7n }).catch((error: unknown) => error);
  const messageText = "0123456789abcdef".repeat(1 << 16);
  for (let i = 0; i < 3; i += 1) {
    const date = timestampFromDate(new Date(1_700_000_000_000 + 1000 * i));
    await client.saveChatMessage({ date, chatId, userId: 7n, messageId: String(i), messageText });
  }
  const { messages } = await client.getChatMessagesSince({ chatId });
  const keys = Array.from({ length: 64 }, (_, i) => `page${i}`);
  await Promise.all(keys.map((key) => client.setSetting({ key, value: key })));
  await fetch("/restart", { method: "POST" });
  const found = await Promise.all(keys.map((key) => client.getSetting({ key })));
  await client.updateTokenStats({ token: "page", isSpam: true });
  const { tokens } = await client.getTokenStats({ tokens: ["page"] });
  client.close();
  return {
    version: server?.version !== "",
    fullName: user?.fullName,
    userId: user?.userId,
    chats: chats.map((chat) => chat.chatId),
    failed: outcome.failedSources.map((each) => each.source),
    refused,
    missing: missing instanceof ChatstoreError ? missing.status : String(missing),
    messages: messages.filter((message) => message.messageText === messageText).length,
    settings: found.every(({ value }, i) => value === keys[i]),
    spamCount: tokens[0]?.spamCount,
  };
}

const url = new URLSearchParams(location.search).get("url") ?? "";
const results = await run(url).catch((error: unknown) => ({ error: String(error) }));
const asText = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}n` : value);
await fetch("/results", { method: "POST", body: JSON.stringify(results, asText) });
