/*
 * Makes dist/ from src/ and the .proto files: node build.mjs
 *
 * Environment: CHATSTORE_PROTO_DIR, the folder of chatstore/v1 (default ../../proto); PROTOC, the
 * compiler (default protoc); PROTOBUF_INCLUDE, where google/protobuf/timestamp.proto is if protoc
 * does not know.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const protoDir = process.env.CHATSTORE_PROTO_DIR ?? path.resolve(here, "../../proto");
const generated = path.join(here, "src/gen");
const bin = (name) => path.join(here, "node_modules/.bin", name);

function run(program, ...args) {
  try {
    execFileSync(program, args, { cwd: here, stdio: "inherit" });
  } catch (error) {
    console.error(`build.mjs: ${path.basename(program)} failed: ${error.message}`);
    process.exit(1);
  }
}

const include = process.env.PROTOBUF_INCLUDE ? ["-I", process.env.PROTOBUF_INCLUDE] : [];
const files = readdirSync(path.join(protoDir, "chatstore/v1"))
  .filter((name) => name.endsWith(".proto"))
  .map((name) => `chatstore/v1/${name}`)
  .sort();

for (const folder of [generated, path.join(here, "dist")]) {
  rmSync(folder, { recursive: true, force: true });
}
mkdirSync(generated, { recursive: true });
run(process.env.PROTOC ?? "protoc", "-I", protoDir, ...include,
  `--plugin=protoc-gen-es=${bin("protoc-gen-es")}`,
  `--plugin=protoc-gen-calls=${path.join(here, "generate.mjs")}`,
  `--es_out=${generated}`, "--es_opt=target=ts,import_extension=js",
  `--calls_out=${generated}`, "--calls_opt=target=ts,import_extension=js",
  ...files);
run(process.execPath, path.join(here, "node_modules/typescript/bin/tsc"), "-p", here);
