import { deepStrictEqual } from "node:assert";
import { expect, test, vi } from "vitest";
import { decodeServer } from "../src/core/codec.js";
import { RemoteProtocolError } from "../src/core/errors.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import type { ClientMessage, IndexRow, PresenceEntry, ServerMessage } from "../src/core/messages.js";
import { decodeClient, encode } from "./other_side.js";
import { Random } from "./random.js";
import { Speaker } from "./speech.js";
import { camelCase, FRAME_FILES, fromHex, load, toHex, unmark } from "./vectors.js";

vi.setConfig({ testTimeout: 30_000 });

interface Case {
  readonly name: string;
  readonly hex: string;
  readonly values: { readonly [field: string]: unknown };
  readonly sent: boolean;
  readonly shortest: boolean;
}
interface FrameFile {
  readonly frame: string;
  readonly from: "client" | "server" | "either";
  readonly fields: readonly string[];
  readonly cases: readonly Case[];
}

type Frame = ClientMessage | ServerMessage;
type Known = Parameters<typeof encode>[0];

function decode(hex: string, from: string): Frame {
  const data = fromHex(hex);
  return from === "server" ? decodeServer(data) : decodeClient(data, DEFAULT_LIMITS);
}

/** What the vectors call a frame's fields, as this client names them. */
function expected(file: FrameFile, values: Case["values"]): unknown {
  const fields = Object.entries(values).map(([name, value]) => [
    camelCase(name),
    name === "entries" || name === "presence"
      ? (value as unknown[][]).map(entryOf)
      : name === "rows"
        ? (value as unknown[][]).map(rowOf)
        : unmark(value),
  ]);
  return { kind: file.frame, ...Object.fromEntries(fields) };
}

function rowOf([session, title, tags, archived, at, seq, excerpt, ...more]: unknown[]): IndexRow {
  const [unread, needs, running, here, responsible] = more;
  const row = { session, title, tags, archived, at, seq, excerpt, unread, needs, running, here, responsible };
  return row as unknown as IndexRow;
}

function entryOf([peer, subject, name, kind, device, state]: unknown[]): PresenceEntry {
  return { peer, subject, name, kind, device, state: unmark(state) } as PresenceEntry;
}

test.each(FRAME_FILES.filter((name) => !name.includes("optional")))(
  "%s reads as it says, and is written so",
  (name) => {
    const file = load<FrameFile>(name);
    expect(file.cases.length).toBeGreaterThan(0);
    for (const item of file.cases) {
      const frame = decode(item.hex, file.from);
      deepStrictEqual(frame, expected(file, item.values), item.name);
      const again = encode(frame as Known);
      deepStrictEqual(decode(toHex(again), file.from), frame, item.name);
      if (item.shortest) expect(toHex(again), item.name).toBe(toHex(fromHex(item.hex)));
    }
  },
);

test("an optional frame of another version is passed over, from either side", () => {
  const file = load<FrameFile>("frames/optional.json");
  expect(file.cases.length).toBeGreaterThan(0);
  for (const item of file.cases) {
    const unknown = { kind: "Unknown", type: item.values["type"] };
    expect(decode(item.hex, "client")).toStrictEqual(unknown);
    expect(decode(item.hex, "server")).toStrictEqual(unknown);
  }
});

interface Refused {
  readonly name: string;
  readonly from: string;
  readonly hex: string;
  readonly code: number;
}

test("every frame that must be refused is, with its code: also those that stock readers cannot tell", () => {
  const { cases } = load<{ cases: readonly Refused[] }>("refused_frames.json");
  expect(cases.length).toBeGreaterThan(600);
  for (const item of cases) {
    expect(() => decode(item.hex, item.from), item.name).toThrow(expect.objectContaining({ close: item.code }));
  }
});

test("whatever bytes come, a frame is read or refused as one, and nothing else is thrown", () => {
  const random = new Random(11);
  const speaker = new Speaker(random);
  let refused = 0;
  for (let count = 0; count < 1_500; count++) {
    const data = encode(speaker.frame()).slice(0, 2_000);
    for (let changes = random.below(4); changes > 0; changes--) data[random.below(data.length)] = random.below(256);
    for (const read of [decodeServer, (bytes: Uint8Array) => decodeClient(bytes, DEFAULT_LIMITS)]) {
      try {
        read(data);
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(RemoteProtocolError);
        expect((error as RemoteProtocolError).message).not.toBe("");
      }
    }
  }
  expect(refused).toBeGreaterThan(1_500);
});

test("what a server said wrong is named", () => {
  expect(() => decodeServer(fromHex("9243a173"))).toThrow("Ack.number: is missing");
  expect(() => decodeServer(fromHex("9343a173a131"))).toThrow("Ack.number: must be an integer");
});
