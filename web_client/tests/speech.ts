/** Speech: frames and pushes made by chance, with what they say beside them, for other readers to check. */

import * as Y from "yjs";
import { decodeServer } from "../src/core/codec.js";
import { Flights, type Own } from "../src/core/flights.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import {
  LAYERS,
  type ClientMessage,
  type IndexRow,
  type Json,
  type Layer,
  type PresenceEntry,
  type ServerMessage,
} from "../src/core/messages.js";
import { readUpdate } from "../src/core/updates.js";
import { decodeClient, encode } from "./other_side.js";
import { entriesOf } from "./fake_server.js";
import type { Random } from "./random.js";
import { toHex } from "./vectors.js";

export type Known = Exclude<ClientMessage | ServerMessage, { kind: "Unknown" }>;

const WORDS = [
  "",
  "a",
  "Zoë Zoe\u0308",
  "漢字",
  "\u{1f469}\u200d\u{1f466}",
  "\u202bשלום\u202c",
  "\0\n\u2028\ufeff",
  "x".repeat(300),
];
const NUMBERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
const OTHER_NUMBERS = [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 0.1, -1e300, 5e-324];

export class Speaker {
  constructor(private readonly random: Random) {}

  /** A frame of any kind. */
  frame(): Known {
    const { random } = this;
    const session = this.#id();
    const number = this.#uint();
    return random.pick<() => Known>([
      () => ({ kind: "Hello", versions: this.#uints(), token: this.#text(), device: this.#id(), agent: this.#short() }),
      () => ({
        kind: "Open",
        session,
        vectors: this.#byLayer(),
        clientIds: this.#uints(),
        incarnation: this.#short(),
        version: this.#uint(),
        seen: number,
      }),
      () => ({ kind: "Push", session, layer: random.pick(LAYERS), number, update: this.#bytes() }),
      () => ({ kind: "SetPresence", session, state: this.#json(0) }),
      () => ({ kind: "Refresh", token: this.#text() }),
      () => ({ kind: "Leave", session }),
      () => ({ kind: "Ping", nonce: number }),
      () => ({ kind: "Declare", session, clientIds: this.#uints() }),
      () => ({ kind: "Serve", worker: this.#id(), slots: number, perSession: 1 + random.below(9) }),
      () => ({ kind: "Claim", session, run: this.#id(), policy: "retry", attemptsMax: 1 + random.below(100) }),
      () => ({
        kind: "Opened",
        session,
        incarnation: this.#short(),
        version: this.#uint(),
        seq: number,
        caughtUp: this.#uint(),
        rights: ["state", this.#text()],
        updates: this.#byLayer(),
        vectors: this.#byLayer(),
        roots: { [this.#text()]: "1", constructor: "2" },
        presence: this.#entries(),
        storageFull: random.chance(0.5),
      }),
      () => ({ kind: "Ack", session, number }),
      () => ({ kind: "Reject", session, number, code: this.#short(), reason: this.#text() }),
      () => ({ kind: "Update", session, layer: random.pick(LAYERS), update: this.#bytes() }),
      () => ({ kind: "PresenceChanged", session, entries: this.#entries() }),
      () => ({ kind: "Closed", session, code: number, reason: this.#text() }),
      () => ({ kind: "Bye", code: number, reason: this.#text(), retryAfterS: random.next() }),
      () => ({ kind: "Storage", full: random.chance(0.5) }),
      () => ({ kind: "Watch", after: this.#short(), limit: number, archived: random.chance(0.5) }),
      () => ({ kind: "Index", rows: this.#rows(), next: this.#short(), whole: random.chance(0.5) }),
      () => ({ kind: "IndexChanged", rows: this.#rows(), gone: [this.#id(), this.#id()] }),
      () => ({
        kind: "Work",
        session,
        run: this.#id(),
        message: random.chance(0.5) ? "" : this.#id(),
        attempt: number,
      }),
    ])();
  }

  #rows(): IndexRow[] {
    return Array.from({ length: this.random.below(4) }, () => ({
      session: this.#id(),
      title: this.#text(),
      tags: [this.#text()],
      archived: this.random.chance(0.5),
      at: this.#uint(),
      seq: this.#uint(),
      excerpt: this.#text(),
      unread: this.#uint(),
      needs: ["approval"],
      running: { "agent:planner": "live" },
      here: { "user:ann": this.#text() },
      responsible: this.#short(),
    }));
  }

  #uint(): number {
    return this.random.chance(0.5) ? this.random.pick(NUMBERS) : this.random.below(2 ** 31);
  }

  #uints(): number[] {
    return Array.from({ length: this.random.below(20) }, () => this.#uint());
  }

  #id(): string {
    return this.random.pick(["a", "Z_9-", "x".repeat(64), `m-${this.random.below(1_000)}`]);
  }

  #text(): string {
    return this.random.pick(WORDS) + this.random.pick(WORDS);
  }

  #short(): string {
    return [...this.#text()].slice(0, 128).join("");
  }

  #bytes(): Uint8Array {
    const length = this.random.pick([0, 1, 40, 255, 256, 65_535, 65_536]);
    return new Uint8Array(length).fill(this.random.below(256));
  }

  #byLayer(): { [L in Layer]?: Uint8Array } {
    return this.random.pick([{}, { state: this.#bytes() }, { transcript: this.#bytes(), state: this.#bytes() }]);
  }

  #entries(): PresenceEntry[] {
    return Array.from({ length: this.random.below(4) }, () => ({
      peer: this.#id(),
      subject: this.#text(),
      name: this.#text(),
      kind: "user",
      device: this.#id(),
      state: this.#json(0),
    }));
  }

  #json(depth: number): Json {
    const { random } = this;
    const kinds: (() => Json)[] = [
      () => null,
      () => random.chance(0.5),
      () => this.#uint(),
      () => random.pick(OTHER_NUMBERS),
      () => this.#text(),
    ];
    if (depth < 5) {
      const length = random.pick([0, 1, 3, 16, 17]);
      kinds.push(
        () => Array.from({ length }, () => this.#json(depth + 3)),
        () => Object.fromEntries(Array.from({ length }, (_, at) => [`${at} ${this.#text()}`, this.#json(depth + 3)])),
      );
    }
    return random.pick(kinds)();
  }
}

export interface SpokenPush {
  readonly layer: Layer;
  readonly hex: string;
  readonly ends: { readonly [client: string]: number };
  readonly starts: boolean;
  /** Entries that begin in it, in the order in which they were written. */
  readonly entries: readonly string[];
}

const TRANSCRIPT_ROOTS = ["messages", "runs", "commands", "reads", "receipts"];

/** What two tabs of one device write, as their uplink pushes it, and what the documents hold in the end. */
export function pushes(random: Random): { pushes: SpokenPush[]; holds: Record<Layer, unknown> } {
  const flights = new Flights(DEFAULT_LIMITS);
  const tabs = [0, 1].map(() => ({ transcript: document(random), state: document(random) }));
  const rows: Own[] = [];
  for (let step = 0; step < 120; step++) {
    const [tab, other] = random.chance(0.5) ? [tabs[0]!, tabs[1]!] : [tabs[1]!, tabs[0]!];
    const layer = random.pick(LAYERS);
    const before = Y.encodeStateVector(tab[layer]);
    const updates: Uint8Array[] = [];
    const note = (update: Uint8Array): number => updates.push(update);
    tab[layer].on("update", note);
    tab[layer].transact(() => (layer === "state" ? writeState : writeTranscript)(tab[layer], random, step));
    tab[layer].off("update", note);
    for (const update of updates) {
      rows.push({ row: rows.length, layer, update, facts: readUpdate(update), alone: false });
      flights.queue(rows.at(-1)!);
    }
    Y.applyUpdate(other[layer], Y.encodeStateAsUpdate(tab[layer], before));
  }
  const written = rows.flatMap((own) => entriesOf(own.update));
  const spoken: SpokenPush[] = [];
  for (const layer of LAYERS) {
    for (let push = flights.next(layer); push !== null; push = flights.next(layer)) {
      flights.ack(push.number);
      const { ends, starts } = readUpdate(push.update);
      const begun = entriesOf(push.update);
      const entries = written.filter((key) => begun.includes(key));
      spoken.push({ layer, hex: toHex(push.update), ends: Object.fromEntries(ends), starts, entries });
    }
  }
  const { transcript, state } = tabs[0]!;
  return {
    pushes: spoken,
    holds: {
      transcript: Object.fromEntries(TRANSCRIPT_ROOTS.map((root) => [root, transcript.getMap(root).toJSON()])),
      state: {
        ui: state.getMap("ui").toJSON(),
        list: state.getArray("list").toJSON(),
        note: String(state.getText("note")),
      },
    },
  };
}

function document(random: Random): Y.Doc {
  const made = new Y.Doc();
  made.clientID = random.clientId();
  return made;
}

function writeTranscript(document: Y.Doc, random: Random, step: number): void {
  const messages = document.getMap<Y.Map<unknown>>("messages");
  const mine = [...messages.values()];
  if (random.chance(0.5) || mine.length === 0) {
    const part = new Y.Map<unknown>([
      ["id", "0"],
      ["type", "text"],
      ["text", new Y.Text(random.pick(WORDS))],
    ]);
    messages.set(
      `m-${step}`,
      new Y.Map<unknown>([
        ["role", "user"],
        ["created_at", step],
        ["parts", Y.Array.from([part])],
      ]),
    );
  } else if (random.chance(0.3)) {
    document.getMap("commands").set(`c-${step}`, { kind: "cancel", run: "r", at: step });
  } else if (random.chance(0.8)) {
    const part = (random.pick(mine).get("parts") as Y.Array<Y.Map<unknown>>).get(0);
    (part.get("text") as Y.Text).insert((part.get("text") as Y.Text).length, random.pick(WORDS));
  } else {
    const keys = [...messages.keys()];
    messages.delete(random.pick(keys));
  }
}

function writeState(document: Y.Doc, random: Random, step: number): void {
  const list = document.getArray("list");
  const note = document.getText("note");
  const ui = document.getMap("ui");
  const dice = random.next();
  if (dice < 0.3) ui.set(`key-${random.below(4)}`, random.pick([step, null, "x", { a: [1, 0.5] }]));
  else if (dice < 0.5) list.insert(random.below(list.length + 1), [step, random.pick(WORDS)]);
  else if (dice < 0.6 && list.length > 0) list.delete(random.below(list.length));
  // Never within a character: at the ends alone.
  else if (dice < 0.9) note.insert(random.chance(0.5) ? 0 : note.length, random.pick(WORDS));
  else if (ui.size > 0) ui.delete(random.pick([...ui.keys()]));
}

/** Frames and pushes as JSON, bytes as the vectors write them. */
export function speech(random: Random, frames: number): unknown {
  const speaker = new Speaker(random);
  return {
    frames: Array.from({ length: frames }, () => {
      const frame = speaker.frame();
      return { hex: toHex(encode(frame)), frame: marked(frame) };
    }),
    ...pushes(random),
  };
}

function marked(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bytes: toHex(value) };
  if (Array.isArray(value)) return value.map(marked);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, marked(part)]));
}

/** Read a frame back. */
export function heard(frame: Known): unknown {
  const data = encode(frame);
  return data[1]! < 64 ? decodeClient(data, DEFAULT_LIMITS) : decodeServer(data);
}
