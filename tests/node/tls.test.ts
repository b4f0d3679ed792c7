import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, failure, freePort, makeFolder, open } from "./support.js";

const TOKEN = "cst_of_a_test";
const CONFIGURATION = `
[database]
path = "bot.db"

[service.tls]
certificate = "server.pem"
key = "server.key"

[[service.clients]]
name = "bot"
token-hash = "sha256:${createHash("sha256").update(TOKEN).digest("hex")}"
read = ["*"]
write = ["*"]
`;
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

test("TLS and tokens", { skip: hasOpenssl ? false : "there is no openssl" }, async (t) => {
  const folder = makeFolder(t);
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-keyout", "server.key", "-out", "server.pem", "-days", "2", "-subj", "/CN=chatstore",
    "-addext", "subjectAltName=IP:127.0.0.1",
  ], { cwd: folder, stdio: "ignore" });
  writeFileSync(path.join(folder, "chatstore.toml"), CONFIGURATION);
  const ca = readFileSync(path.join(folder, "server.pem"));
  const urls = ["tls+tcp://127.0.0.1:0", `wss://127.0.0.1:${await freePort()}/chat`];
  const server = await Server.runOn(t, folder, urls, "--config", "chatstore.toml");
  for (const scheme of ["tls+tcp", "wss"]) {
    await t.test(scheme, async (t) => {
      const url = server.url(scheme);
      const client = open(t, url, { token: TOKEN, tls: { ca } });
      await client.setSetting({ key: "k", value: "v".repeat(3 << 20) });
      assert.equal((await client.getSetting({ key: "k" })).value?.length, 3 << 20);
      const nobody = open(t, url, { tls: { ca } });
      await failure(nobody.getSetting({ key: "k" }), "UNAUTHENTICATED");
      const distrustful = open(t, url, { token: TOKEN, timeoutMs: 1000 });
      await failure(distrustful.getSetting({ key: "k" }), "UNAVAILABLE", "certificate");
    });
  }
});
