import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import * as node from "chatstore";
import * as browser from "chatstore/browser";

test("what npm would publish has the code, its types and the README", () => {
  const folder = path.resolve(import.meta.dirname, "..");
  const output = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [packed] = JSON.parse(output) as { files: { path: string }[] }[];
  const files = packed?.files.map((file) => file.path) ?? [];
  for (const wanted of ["README.md", "package.json", "dist/index.js", "dist/index.d.ts",
    "dist/browser.js", "dist/browser.d.ts", "dist/gen/calls.js", "dist/gen/chatstore/v1/users_pb.d.ts"]) {
    assert(files.includes(wanted), `${wanted} is missing`);
  }
  assert.deepEqual(files.filter((file) => /^(src|tests|node_modules)/.test(file)), []);
});

test("both entry points offer the same", () => {
  assert.deepEqual(Object.keys(browser).sort(), Object.keys(node).sort());
  assert.throws(() => new browser.Client("tcp://127.0.0.1:1"), { status: "INVALID_ARGUMENT" });
});
