/** The other side: frames as a server reads and writes them. */

import {
  arrayOf,
  byLayer,
  bytes,
  decoder,
  encode as encodeClient,
  flag,
  id,
  json,
  layer,
  oneOf,
  SERVER,
  short,
  text,
  uint,
} from "../src/core/codec.js";
import type { Frames, Read } from "../src/core/codec.js";
import { RemoteProtocolError } from "../src/core/errors.js";
import type { Limits } from "../src/core/limits.js";
import type { ClientMessage, IndexRow, PresenceEntry, ServerMessage, Unknown } from "../src/core/messages.js";
import { pack } from "../src/core/msgpack.js";

const TOO_BIG = 1009;

function within(min: number, max: number): Read<number> {
  return (from) => {
    const value = from.uint();
    if (value < min || value > max) throw new TypeError(`must be from ${min} to ${max}`);
    return value;
  };
}

const CLIENT: Frames<ClientMessage> = {
  Hello: [1, { versions: arrayOf(uint), token: text, device: id, agent: short }],
  Open: [2, { session: id, vectors: byLayer, clientIds: arrayOf(uint), incarnation: short, version: uint, seen: uint }],
  Push: [3, { session: id, layer, number: uint, update: bytes }],
  SetPresence: [4, { session: id, state: json }],
  Refresh: [5, { token: text }],
  Leave: [6, { session: id }],
  Ping: [7, { nonce: uint }],
  Declare: [8, { session: id, clientIds: arrayOf(uint) }],
  Serve: [9, { worker: id, slots: uint, perSession: within(1, Number.MAX_SAFE_INTEGER) }],
  Claim: [10, { session: id, run: id, policy: oneOf("wait", "retry", "fail"), attemptsMax: within(1, 100) }],
  Watch: [11, { after: short, limit: uint, archived: flag }],
};
const decode = decoder<ClientMessage | Unknown>(CLIENT);

/**
 * Return the frame that a client sent.
 *
 * @throws RemoteProtocolError 4400, 4426 or 1009: close the link with it.
 */
export function decodeClient(data: Uint8Array, limits: Limits): ClientMessage | Unknown {
  if (data.length > limits.frameBytesMax) throw new RemoteProtocolError(TOO_BIG, `a frame of ${data.length} bytes`);
  return decode(data);
}

/** Return the frame of a message of either side. */
export function encode(message: Exclude<ClientMessage | ServerMessage, Unknown>): Uint8Array {
  if (!(message.kind in SERVER)) return encodeClient(message as ClientMessage);
  const [type, shape] = SERVER[message.kind as keyof typeof SERVER];
  const fields = message as unknown as { readonly [field: string]: unknown };
  return pack([type, ...Object.entries(shape).map(([name, read]) => toWire(fields[name], read))]);
}

function toWire(value: unknown, read: unknown): unknown {
  if (read === SERVER.Index[1].rows || read === SERVER.IndexChanged[1].rows) {
    return (value as IndexRow[]).map((row) => [
      row.session,
      row.title,
      row.tags,
      row.archived,
      row.at,
      row.seq,
      row.excerpt,
      row.unread,
      row.needs,
      row.running,
      row.here,
      row.responsible,
    ]);
  }
  if (read !== SERVER.PresenceChanged[1].entries && read !== SERVER.Opened[1].presence) return value;
  return (value as PresenceEntry[]).map((e) => [e.peer, e.subject, e.name, e.kind, e.device, e.state]);
}
