import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { atEnd, environment, makeFolder, startCluster, type Server } from "./support.js";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-dev-shm-usage",
];

interface Page {
  url: string;
  /** What the page sends when it is done. */
  results: Promise<unknown>;
}

/** Serves the page, and restarts the server when the page asks for it. */
async function servePage(t: TestContext, server: Server): Promise<Page> {
  const script = readFileSync(path.join(import.meta.dirname, "page.bundle.js"));
  const page = '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>';
  let finish: (results: unknown) => void;
  const results = new Promise<unknown>((resolve) => (finish = resolve));
  const answers: Record<string, (body: string) => Promise<string | Buffer> | string | Buffer> = {
    "/": () => page,
    "/page.js": () => script,
    "/results": (body) => {
      finish(JSON.parse(body));
      return "";
    },
    "/restart": async () => {
      await server.stop("SIGKILL");
      await server.start();
      return "";
    },
  };
  const listener = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    const { pathname } = new URL(request.url ?? "/", "http://page");
    const answer = await answers[pathname]?.(Buffer.concat(chunks).toString());
    const type = pathname === "/page.js" ? "text/javascript" : "text/html";
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": type });
    response.end(answer);
  });
  atEnd(t, () => {
    listener.closeAllConnections();
    listener.close();
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/?url=${encodeURIComponent(server.url("ws"))}`;
  return { url, results };
}

test("a page calls over a WebSocket", { timeout: 120_000 }, async (t) => {
  const server = await startCluster(t);
  const page = await servePage(t, server);
  const profile = makeFolder(t);
  const browser = spawn(environment("CHROMIUM"), [...FLAGS, `--user-data-dir=${profile}`, page.url], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  let said = "";
  browser.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  atEnd(t, async () => {
    if (browser.exitCode === null && browser.pid !== undefined) {
      process.kill(-browser.pid, "SIGKILL"); // with its children
      await once(browser, "exit");
    }
  });
  const results = await Promise.race([
    page.results,
    once(browser, "exit").then(() => assert.fail(`the browser ended: ${said}`)),
  ]);
  const { refused, ...others } = results as { refused: string };
  assert.deepEqual(others, {
    version: true,
    fullName: "Ünï 😀",
    userId: "7n",
    chats: ["-3000n", "-100n"],
    failed: ["broken"],
    missing: "INVALID_ARGUMENT",
    messages: 3,
    settings: true,
    spamCount: "1n",
  });
  assert.match(refused, /archive/);
});
