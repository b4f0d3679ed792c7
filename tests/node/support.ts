import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { ChatstoreError, Client, type StatusName } from "chatstore";

export const SCHEMES = ["ipc", "tcp", "ws"] as const;

/** A variable that ctest sets. */
export function environment(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set: run these tests with ctest`);
  return value;
}

/** A file of tests/vectors. */
export function readVectors<T>(name: string): T[] {
  const file = path.join(environment("CHATSTORE_SOURCE_DIR"), "tests/vectors", name);
  return JSON.parse(readFileSync(file, "utf8")) as T[];
}

const ends = new WeakMap<TestContext, (() => unknown)[]>();

/** Runs this at the end of the test: the last first, unlike t.after(), and all, whatever fails. */
export function atEnd(t: TestContext, end: () => unknown): void {
  const known = ends.get(t);
  if (known) {
    known.unshift(end);
    return;
  }
  const all = [end];
  ends.set(t, all);
  t.after(async () => {
    const failures: unknown[] = [];
    for (const each of all) {
      try {
        await each();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) {
      throw failures[0];
    }
  });
}

/** A folder that goes with the test. What a killed browser's children still write does not keep it. */
export function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "chatstore-node-"));
  atEnd(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  return folder;
}

export async function freePort(): Promise<number> {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as net.AddressInfo;
  listener.close();
  await once(listener, "close");
  return port;
}

/** A chatstored, on the same addresses at each start. */
export class Server {
  readonly #urls = new Map<string, string>();
  readonly #folder: string;
  readonly #options: string[];
  #process: ChildProcess | undefined;
  #said = "";

  private constructor(folder: string, urls: string[], options: string[]) {
    this.#folder = folder;
    this.#options = options;
    urls.forEach((url) => this.#remember(url));
  }

  /** Runs one with these options on a unix socket, TCP and a WebSocket until the test ends. */
  static async run(t: TestContext, folder: string, ...options: string[]): Promise<Server> {
    const ws = `ws://127.0.0.1:${await freePort()}/chat`;
    return Server.runOn(t, folder, [`ipc://${folder}/s.sock`, "tcp://127.0.0.1:0", ws], ...options);
  }

  /** The same on other addresses, one for each scheme. */
  static async runOn(
    t: TestContext, folder: string, urls: string[], ...options: string[]
  ): Promise<Server> {
    const server = new Server(folder, urls, options);
    atEnd(t, () => server.stop());
    await server.start();
    return server;
  }

  /** Where it listens. */
  url(scheme: string): string {
    const url = this.#urls.get(scheme);
    assert(url, `it does not listen on ${scheme}`);
    return url;
  }

  async start(): Promise<void> {
    const listen = [...this.#urls.values()].flatMap((url) => ["--listen", url]);
    const program = path.join(environment("CHATSTORE_BINARY_DIR"), "service/chatstored");
    const child = spawn(program, [...this.#options, ...listen], {
      cwd: this.#folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    this.#said = "";
    let missing = this.#urls.size;
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        this.#said += `${line}\n`;
        const url = /listening on (.*)/.exec(line)?.[1];
        if (url) {
          this.#remember(url);
          missing -= 1;
        }
        if (missing === 0) {
          resolve();
        }
      });
      child.once("exit", () => reject(new Error(`chatstored ended: ${this.#said}`)));
    });
  }

  #remember(url: string): void {
    this.#urls.set(url.slice(0, url.indexOf(":")), url);
  }

  /** Ends it; one that is asked to must end well. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, "close");
    }
    if (child && signal === "SIGTERM") {
      assert.equal(child.exitCode, 0, `chatstored: ${this.#said}`);
    }
  }
}

const CONFIGURATION = `
[database]
default = "main"
sources = {
    main = { path = "main.db" },
    archive = { path = "archive.db", readonly = true },
    broken = { path = "missing.db", readonly = true },
}
chatMapping = { -3000 = "archive" }
`;

/**
 * A server with a writable source, a readonly one and one that is down. Chat -3000 is in the
 * archive, chat -100 in both.
 */
export async function startCluster(t: TestContext): Promise<Server> {
  const folder = makeFolder(t);
  const old = await Server.run(t, folder, "--db", "archive.db");
  const client = open(t, old.url("ipc"));
  for (const chatId of [-3000n, -100n]) {
    await client.updateChatInfo({ chatId, type: "group" });
    await client.updateChatUser({ chatId, userId: 7n, username: "@ann", fullName: "Ann" });
  }
  await old.stop();
  writeFileSync(path.join(folder, "chatstore.toml"), CONFIGURATION);
  return Server.run(t, folder, "--config", "chatstore.toml");
}

/** A client that is closed when the test ends. */
export function open(t: TestContext, ...options: ConstructorParameters<typeof Client>): Client {
  const client = new Client(...options);
  atEnd(t, () => client.close());
  return client;
}

/** The error of a call that must fail with this status and text. */
export async function failure(
  call: Promise<unknown>,
  status: StatusName,
  text = "",
): Promise<ChatstoreError> {
  const error = await call.then(
    (response) => assert.fail(`the call answered ${String(response)}`),
    (reason: unknown) => reason,
  );
  assert(error instanceof ChatstoreError, String(error));
  assert.equal(error.status, status, error.message);
  assert(error.message.includes(text), `"${error.message}" lacks "${text}"`);
  return error;
}

export async function spamCount(client: Client, token: string): Promise<bigint | undefined> {
  const { tokens } = await client.getTokenStats({ tokens: [token] });
  return tokens[0]?.spamCount;
}
