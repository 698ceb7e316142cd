/**
 * Codec: frames to bytes and back. PROTOCOL 3.
 *
 * The order of a frame's fields below is that of the wire. Holds no rules beyond the types of fields.
 */

import { RemoteProtocolError } from "./errors.js";
import type { Limits } from "./limits.js";
import type { ByLayer, ClientMessage, Json, Layer, PresenceEntry, ServerMessage, Unknown } from "./messages.js";
import { pack, Unpacker } from "./msgpack.js";

const BAD_MESSAGE = 4400;
const TOO_BIG = 1009;
const UNSUPPORTED = 4426;
const OPTIONAL_MIN = 128;
const OPTIONAL_MAX = 65_535;

type Read<T> = (from: Unpacker) => T;
type Shape<M> = { readonly [F in Exclude<keyof M, "kind">]: Read<M[F]> };
type Known = Exclude<ClientMessage | ServerMessage, Unknown>;
type Frames<M extends Known> = { readonly [K in M["kind"]]: readonly [type: number, Shape<Extract<M, { kind: K }>>] };

// Readers of fields, named as the protocol names them.

const uint: Read<number> = (from) => from.uint();
const number: Read<number> = (from) => from.number();
const flag: Read<boolean> = (from) => from.flag();
const text: Read<string> = (from) => from.text();
const bytes: Read<Uint8Array> = (from) => from.bytes();
const json: Read<Json> = (from) => from.value() as Json;

const short: Read<string> = (from) => {
  const value = from.text();
  if (value.length > 128 && [...value].length > 128) throw new TypeError("must have at most 128 characters");
  return value;
};

const id: Read<string> = (from) => {
  const value = from.text();
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value)) throw new TypeError("must be 1 to 64 of A-Z a-z 0-9 _ -");
  return value;
};

const idOrEmpty: Read<string> = (from) => {
  const value = from.text();
  if (!/^[A-Za-z0-9_-]{0,64}$/.test(value)) throw new TypeError("must be at most 64 of A-Z a-z 0-9 _ -");
  return value;
};

const oneOf =
  <T extends string>(...values: T[]): Read<T> =>
  (from) => {
    const value = from.text() as T;
    if (!values.includes(value)) throw new TypeError(`must be one of ${values.join(", ")}`);
    return value;
  };

const within =
  (min: number, max: number): Read<number> =>
  (from) => {
    const value = from.uint();
    if (value < min || value > max) throw new TypeError(`must be from ${min} to ${max}`);
    return value;
  };

const arrayOf =
  <T>(item: Read<T>): Read<readonly T[]> =>
  (from) => {
    const items: T[] = [];
    for (let left = from.array(); left > 0; left--) items.push(item(from));
    return items;
  };

const mapOf =
  <T>(part: Read<T>): Read<{ readonly [key: string]: T }> =>
  (from) => {
    const parts: { [key: string]: T } = {};
    for (let left = from.map(); left > 0; left--) {
      const key = from.key();
      parts[key] = part(from);
    }
    return parts;
  };

const layer: Read<Layer> = oneOf("transcript", "state");

const byLayer: Read<ByLayer<Uint8Array>> = (from) => {
  const parts: { [L in Layer]?: Uint8Array } = {};
  for (let left = from.map(); left > 0; left--) {
    const name = layer(from);
    parts[name] = bytes(from);
  }
  return parts;
};

const entry: Read<PresenceEntry> = (from) => {
  let more = from.array() - 6;
  if (more < 0) throw new TypeError("an entry is [peer, subject, name, kind, device, state]");
  const [peer, subject, name, kind, device, state] = [
    text(from),
    text(from),
    text(from),
    text(from),
    text(from),
    json(from),
  ];
  for (; more > 0; more--) from.value();
  return { peer, subject, name, kind, device, state };
};

const uints = arrayOf(uint);

const CLIENT: Frames<ClientMessage> = {
  Hello: [1, { versions: uints, token: text, device: id, agent: short }],
  Open: [2, { session: id, vectors: byLayer, clientIds: uints, incarnation: short, version: uint, seen: uint }],
  Push: [3, { session: id, layer, number: uint, update: bytes }],
  SetPresence: [4, { session: id, state: json }],
  Refresh: [5, { token: text }],
  Leave: [6, { session: id }],
  Ping: [7, { nonce: uint }],
  Declare: [8, { session: id, clientIds: uints }],
  Serve: [9, { worker: id, slots: uint, perSession: within(1, Number.MAX_SAFE_INTEGER) }],
  Claim: [10, { session: id, run: id, policy: oneOf("wait", "retry", "fail"), attemptsMax: within(1, 100) }],
};

const SERVER: Frames<Exclude<ServerMessage, Unknown>> = {
  Welcome: [
    65,
    {
      version: uint,
      peer: id,
      subject: short,
      server: short,
      heartbeatS: number,
      frameBytesMax: uint,
      presenceBytesMax: uint,
      expiresAt: number,
      now: number,
    },
  ],
  Opened: [
    66,
    {
      session: id,
      incarnation: short,
      version: uint,
      seq: uint,
      caughtUp: uint,
      rights: arrayOf(text),
      updates: byLayer,
      vectors: byLayer,
      roots: mapOf(text),
      presence: arrayOf(entry),
      storageFull: flag,
    },
  ],
  Ack: [67, { session: id, number: uint }],
  Reject: [68, { session: id, number: uint, code: short, reason: text }],
  Update: [69, { session: id, layer, update: bytes }],
  PresenceChanged: [70, { session: id, entries: arrayOf(entry) }],
  Closed: [71, { session: id, code: uint, reason: text }],
  Bye: [72, { code: uint, reason: text, retryAfterS: number }],
  Pong: [73, { nonce: uint }],
  Refreshed: [74, { expiresAt: number }],
  Storage: [75, { full: flag }],
  Work: [76, { session: id, run: id, message: idOrEmpty, attempt: uint }],
};

// As the loops below see them: what a frame's fields are was checked where it was made, or is checked by its readers.
type AnyFrames = { readonly [kind: string]: readonly [type: number, { readonly [field: string]: Read<unknown> }] };
const FRAMES: AnyFrames = { ...CLIENT, ...SERVER };
const readable = (frames: AnyFrames): Map<number, string> =>
  new Map(Object.entries(frames).map(([kind, [type]]) => [type, kind]));
const CLIENT_KINDS = /* @__PURE__ */ readable(CLIENT);
const SERVER_KINDS = /* @__PURE__ */ readable(SERVER);

/**
 * Return the frame of `message`.
 *
 * @throws LocalProtocolError if its presence is not JSON.
 */
export function encode(message: Known): Uint8Array {
  const [type, shape] = FRAMES[message.kind]!;
  const fields = message as unknown as { [field: string]: unknown };
  return pack([type, ...Object.entries(shape).map(([name, read]) => toWire(fields[name], read))]);
}

function toWire(value: unknown, read: Read<unknown>): unknown {
  if (read !== SERVER.PresenceChanged[1].entries && read !== SERVER.Opened[1].presence) return value;
  return (value as PresenceEntry[]).map((e) => [e.peer, e.subject, e.name, e.kind, e.device, e.state]);
}

/**
 * Return the frame that a server sent.
 *
 * @throws RemoteProtocolError 4400 or 4426: close the link with it.
 */
export function decodeServer(data: Uint8Array): ServerMessage {
  return decode(data, SERVER_KINDS) as ServerMessage;
}

/**
 * Return the frame that a client sent. For servers in tests.
 *
 * @throws RemoteProtocolError 4400, 4426 or 1009: close the link with it.
 */
export function decodeClient(data: Uint8Array, limits: Limits): ClientMessage | Unknown {
  if (data.length > limits.frameBytesMax) throw new RemoteProtocolError(TOO_BIG, `a frame of ${data.length} bytes`);
  return decode(data, CLIENT_KINDS) as ClientMessage | Unknown;
}

function decode(data: Uint8Array, kinds: ReadonlyMap<number, string>): unknown {
  const from = new Unpacker(data);
  let at = "frame";
  try {
    let left = from.array() - 1;
    const type = from.int();
    const kind = kinds.get(type);
    const message: { [field: string]: unknown } = kind === undefined ? { kind: "Unknown", type } : { kind };
    for (const [name, read] of kind === undefined ? [] : Object.entries(FRAMES[kind]![1])) {
      at = `${kind}.${name}`;
      if (--left < 0) throw new TypeError("is missing");
      message[name] = read(from);
    }
    // PROTOCOL 3: fields behind those known are ignored, so that later versions may add some.
    for (at = "frame"; left > 0; left--) from.value();
    if (from.left) throw new TypeError("has bytes behind it");
    if (kind === undefined && !(type >= OPTIONAL_MIN && type <= OPTIONAL_MAX)) {
      throw new RemoteProtocolError(UNSUPPORTED, `frame type ${type} is not known here`);
    }
    return message;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new RemoteProtocolError(BAD_MESSAGE, `${at}: ${error.message}`);
  }
}
