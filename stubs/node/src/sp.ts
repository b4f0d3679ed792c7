/*
 * The SP protocol of nng over ipc, tcp and tls+tcp: bytes only, no sockets.
 *
 * Both sides begin with 8 bytes that name their protocol. Then come messages: 8 bytes of length
 * (over ipc with a byte 1 before them), 4 bytes of request id with the highest bit set, and the
 * body. The answer to a request carries its id. Over WebSocket a message is the id and the body.
 */
import { Lost } from "./errors.js";

export const ID_BYTES = 4;
export const ID_MAX = 0x7fffffff;
export const HELLO = Uint8Array.of(0, 0x53, 0x50, 0, 0, 0x30, 0, 0);
const REP = 0x31;

/** Throws Lost if these 8 bytes do not come from a server of ours. */
export function checkHello(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  if (view.getUint32(0) !== 0x00535000) {
    throw new Lost("what listens there does not speak nng's protocol", false);
  }
  const protocol = view.getUint16(4);
  if (protocol !== REP) {
    throw new Lost(`the other side speaks SP protocol ${protocol}, not REP (${REP})`, false);
  }
}

/** The header of a message with this request id and a body of so many bytes. */
export function packHeader(ipc: boolean, id: number, bodyBytes: number): Uint8Array {
  const header = new Uint8Array(headerBytes(ipc));
  const view = viewOf(header);
  const at = ipc ? 1 : 0;
  if (ipc) {
    header[0] = 1;
  }
  view.setBigUint64(at, BigInt(bodyBytes + ID_BYTES));
  view.setUint32(at + 8, (id | 0x80000000) >>> 0);
  return header;
}

/** The bytes of a header. */
export function headerBytes(ipc: boolean): number {
  return (ipc ? 1 : 0) + 8 + ID_BYTES;
}

/** Reads a header; throws Lost if these bytes are none. */
export function readHeader(ipc: boolean, header: Uint8Array): { id: number; bodyBytes: number } {
  const view = viewOf(header);
  const at = ipc ? 1 : 0;
  const length = view.getBigUint64(at);
  const id = readId(header.subarray(at + 8));
  if ((ipc && header[0] !== 1) || length < BigInt(ID_BYTES) || id === undefined) {
    throw new Lost("the server sent bytes that are no reply", true);
  }
  return { id, bodyBytes: Number(length) - ID_BYTES };
}

/** The request id at the beginning of these bytes; undefined if there is none. */
export function readId(bytes: Uint8Array): number | undefined {
  if (bytes.length < ID_BYTES) {
    return undefined;
  }
  const id = viewOf(bytes).getUint32(0);
  return id >= 0x80000000 ? id & ID_MAX : undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
