#!/usr/bin/env node
/*
 * A plugin of protoc: from the services it makes
 *   calls.ts      the abstract class Calls, with one typed method for each call
 *   messages.ts   everything that protoc-gen-es makes, under one name
 */
import { createEcmaScriptPlugin, runNodeJs } from "@bufbuild/protoplugin";

function emitCalls(schema, services) {
  const file = schema.generateFile("calls.ts");
  const runtime = (name) => file.import(name, "@bufbuild/protobuf", true);
  const options = file.import("CallOptions", "../contract.js", true);
  file.print("/* Made by generate.mjs from the .proto files; do not edit. */");
  file.print("/** One method for each call of the contract. */");
  file.print("export abstract class Calls {");
  file.print("  /** Any call, by its descriptor. */");
  file.print("  abstract call<I extends ", runtime("DescMessage"), ", O extends ",
    runtime("DescMessage"), ">(");
  file.print("    method: ", runtime("DescMethodUnary"), "<I, O>,");
  file.print("    request: ", runtime("MessageInitShape"), "<I>,");
  file.print("    options?: ", options, ",");
  file.print("  ): Promise<", runtime("MessageShape"), "<O>>;");
  for (const service of services) {
    for (const method of service.methods) {
      file.print();
      file.print(file.jsDoc(method, "  "));
      file.print("  ", method.localName, "(");
      file.print("    request: ", runtime("MessageInitShape"), "<typeof ",
        file.importSchema(method.input, true), ">,");
      file.print("    options?: ", options, ",");
      file.print("  ): Promise<", file.importShape(method.output), "> {");
      file.print("    return this.call(", file.importSchema(service), ".method.",
        method.localName, ", request, options);");
      file.print("  }");
    }
  }
  file.print("}");
}

function emitMessages(schema, services) {
  const file = schema.generateFile("messages.ts");
  file.print("/* Made by generate.mjs from the .proto files; do not edit. */");
  for (const { name } of schema.files) {
    if (!/\/(options|envelope)$/.test(name)) {
      file.print("export * from ", file.string(`./${name}_pb.js`), ";");
    }
  }
  file.print();
  file.print("/** All services, with the descriptors of their calls. */");
  file.print("export const services = [");
  for (const service of services) {
    file.print("  ", file.importSchema(service), ",");
  }
  file.print("] as const;");
}

runNodeJs(createEcmaScriptPlugin({
  name: "chatstore",
  version: "1",
  generateTs(schema) {
    const services = schema.files.flatMap((file) => file.services);
    emitCalls(schema, services);
    emitMessages(schema, services);
  },
}));
