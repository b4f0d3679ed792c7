/* What both entry points offer beside their Client. */
export { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
export { Outcome, type CallOptions, type ClientOptions } from "./contract.js";
export { ChatstoreError, Status, type SourceFailure, type StatusName } from "./errors.js";
export { newRequestId } from "./uuid.js";
export * from "./gen/messages.js";
