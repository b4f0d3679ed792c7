import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  createRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescMessage,
  type DescMethodUnary,
  type JsonValue,
} from "@bufbuild/protobuf";
import { ChatstoreError, services } from "chatstore";
import { file_chatstore_v1_envelope } from "../dist/gen/chatstore/v1/envelope_pb.js";
import { packHeader, readHeader } from "../dist/sp.js";
import { SCHEMES, Server, makeFolder, open, readVectors } from "./support.js";

const registry = createRegistry(
  file_chatstore_v1_envelope,
  ...services.map(({ file }) => file),
);
const methods = new Map<string, DescMethodUnary>(
  services.flatMap((service) =>
    service.methods.map((method) => [`/${service.typeName}/${method.name}`, method as DescMethodUnary]),
  ),
);

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Holds bytes and JSON of one message against each other, both ways. */
function checkMessage(schema: DescMessage, hex: string, json: JsonValue): void {
  const message = fromBinary(schema, Buffer.from(hex, "hex"));
  const options = { registry, useProtoFieldName: true };
  assert.deepEqual(toJson(schema, message, options), json);
  assert.equal(hexOf(toBinary(schema, fromJson(schema, json, { registry }))), hex);
}

function schemaOf(name: string): DescMessage {
  const schema = registry.getMessage(`chatstore.v1.${name}`);
  assert(schema, `there is no message ${name}`);
  return schema;
}

test("messages", () => {
  const vectors = readVectors<{ message: string; hex: string; json: JsonValue }>("messages.json");
  assert(vectors.length >= 100);
  for (const { message, hex, json } of vectors) {
    checkMessage(schemaOf(message), hex, json);
  }
});

test("frames", () => {
  const vectors = readVectors<{
    direction: string; envelope: JsonValue; id: number; ipc: string; tcp: string;
  }>("frames.json");
  for (const { direction, envelope, id, ipc, tcp } of vectors) {
    const body = tcp.slice(24);
    checkMessage(schemaOf(direction === "request" ? "Request" : "Reply"), body, envelope);
    for (const [isIpc, frame] of [[true, ipc], [false, tcp]] as const) {
      const header = packHeader(isIpc, id, body.length / 2);
      assert.equal(hexOf(header) + body, frame);
      assert.deepEqual(readHeader(isIpc, header), { id, bodyBytes: body.length / 2 });
    }
  }
});

/** A JSON value without the times that a server sets by its clock. */
function withoutTimes(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    return value.map(withoutTimes);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  const kept = Object.entries(value).filter(([key]) => !/^(created|updated)_at$/.test(key));
  return Object.fromEntries(kept.map(([key, each]) => [key, withoutTimes(each)]));
}

interface Line {
  method: string;
  request: JsonValue;
  request_hex: string;
  response: JsonValue;
  status: string;
}

test("conversation", async (t) => {
  for (const scheme of SCHEMES) {
    await t.test(scheme, async (t) => {
      const server = await Server.run(t, makeFolder(t), "--db", "bot.db");
      const client = open(t, server.url(scheme));
      for (const { method: name, request, request_hex, response, status } of readVectors<Line>("calls.json")) {
        const method = methods.get(name);
        assert(method, name);
        checkMessage(method.input, request_hex, request);
        const message = create(method.input, fromJson(method.input, request));
        const answer = await client.call(method, message).catch((error: unknown) => error);
        if (answer instanceof Error) {
          assert(answer instanceof ChatstoreError, String(answer));
          assert.equal(answer.status, status, `${name}: ${answer.message}`);
          continue;
        }
        assert.equal(status, "OK", name);
        const json = toJson(method.output, answer as never, { useProtoFieldName: true });
        assert.deepEqual(withoutTimes(json), response ?? withoutTimes(json), name);
      }
    });
  }
});
