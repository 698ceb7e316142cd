/** A lead over a socket that is a stand-in: what it asks of the list of sessions, and where it says the link stands. */

import "fake-indexeddb/auto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Copy } from "../src/core/copy.js";
import type { CopyHost } from "../src/core/copy.js";
import { Lead } from "../src/core/lead.js";
import type { LeadHost } from "../src/core/lead.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import type { ClientMessage, Opened, Unknown, Watch, Welcome } from "../src/core/messages.js";
import { Store } from "../src/core/store.js";
import { TIMING } from "../src/core/timing.js";
import { decodeClient, encode } from "./other_side.js";

const WELCOME: Welcome = {
  kind: "Welcome",
  version: 1,
  peer: "p",
  subject: "user:ana",
  server: "s",
  heartbeatS: 20,
  frameBytesMax: DEFAULT_LIMITS.frameBytesMax,
  presenceBytesMax: DEFAULT_LIMITS.presenceBytesMax,
  expiresAt: 0,
  now: 0,
};

/** A socket to a server that welcomes everybody. */
class Socket {
  static made: Socket[] = [];
  readonly sent: (ClientMessage | Unknown)[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;

  constructor() {
    Socket.made.push(this);
    queueMicrotask(() => this.onopen?.());
  }

  send(frame: Uint8Array): void {
    const message = decodeClient(frame, DEFAULT_LIMITS);
    this.sent.push(message);
    if (message.kind === "Hello") this.say(welcome);
    if (message.kind === "Open") this.say(OPENED);
  }

  say(message: Parameters<typeof encode>[0]): void {
    this.onmessage?.({ data: Uint8Array.from(encode(message)).buffer });
  }

  /** The pages that were asked for on this link. */
  get pages(): string[] {
    return this.sent.flatMap((message) => (message.kind === "Watch" ? [message.after] : []));
  }

  answer(): void {
    this.say({ kind: "Index", rows: [], next: "", whole: false });
  }

  close(): void {}
}

function page(after: string): Watch {
  return { kind: "Watch", after, limit: 10, archived: false };
}

const OPENED: Opened = {
  kind: "Opened",
  session: "s",
  incarnation: "i",
  version: 1,
  seq: 0,
  caughtUp: 0,
  rights: ["presence"],
  updates: {},
  vectors: { transcript: Uint8Array.of(0), state: Uint8Array.of(0) },
  roots: {},
  presence: [],
  storageFull: false,
};

let lead: Lead;
let copy: LeadHost["copy"];
let store: Store;
let welcome: Welcome;
let listed: (asked: string | undefined) => void;
let links: string[];
let bytesMax: number;
let host: LeadHost;

beforeEach(async () => {
  vi.stubGlobal("WebSocket", Socket);
  Socket.made = [];
  links = [];
  welcome = WELCOME;
  copy = () => Promise.reject(new Error("no session here"));
  store = await Store.open(`lead-${Math.random()}`, () => {});
  host = {
    url: "http://server",
    store,
    storeName: "lead",
    timing: TIMING,
    token: "dev:ana",
    copy: (session) => copy(session),
    drop: () => {},
    post: (message) => {
      if (message.kind !== "link") return;
      links.push(message.status.link);
      bytesMax = message.presenceBytesMax;
    },
    watch: () => {},
    listed: (asked) => listed(asked?.after),
    linkStands: () => {},
  };
  lead = new Lead(host, false);
  await lead.start();
  await vi.waitFor(() => expect(lead.status.link).toBe("live"));
});

afterEach(() => {
  lead.stop();
  vi.unstubAllGlobals();
});

test("a page that is asked for when one is told is sent once", () => {
  const [socket] = Socket.made as [Socket];
  const told: unknown[] = [];
  listed = (after) => {
    if (told.push(after) === 1) lead.ask(page("two"));
  };
  lead.ask(page("one"));
  socket.answer();
  expect(socket.pages).toEqual(["one", "two"]);
  socket.answer();
  expect([told, socket.pages]).toEqual([
    ["one", "two"],
    ["one", "two"],
  ]);
});

test("one page is under way at a time, and each answer is told as that of what was asked", () => {
  const [socket] = Socket.made as [Socket];
  const told: unknown[] = [];
  listed = (after) => {
    if (told.push(after) === 1) lead.ask(page("three"));
  };
  lead.ask(page("one"));
  lead.ask(page("two"));
  expect(socket.pages).toEqual(["one"]);
  socket.answer();
  expect(socket.pages).toEqual(["one", "two"]);
  socket.answer();
  expect(socket.pages).toEqual(["one", "two", "three"]);
  socket.answer();
  expect(told).toEqual(["one", "two", "three"]);
});

test("with another token it says that the link is gone until there is another one", async () => {
  links.splice(0);
  lead.renewed();
  expect(links).toEqual(["reconnecting"]);
  await vi.waitFor(() => expect(links).toEqual(["reconnecting", "live"]));
  expect(Socket.made.length).toBe(2);
});

test("a token function that returns none is as one that throws, and is asked again", async () => {
  const returned: unknown[] = [undefined, null, "", 7];
  Object.assign(host, { token: () => (returned.length > 0 ? returned.shift() : "dev:ana") });
  const reasons: string[] = [];
  host.post = (message) => {
    if (message.kind === "link") reasons.push(`${message.status.link} ${message.status.reason}`);
  };
  lead.renewed();
  for (let left = returned.length; left > 0; left--) {
    await vi.waitFor(() => expect(reasons.at(-1)).toBe("offline no token: the token function returned none"));
    reasons.push("again");
    lead.retry(null);
  }
  await vi.waitFor(() => expect(lead.status.link).toBe("live"));
  const hellos = Socket.made.flatMap(({ sent }) => sent.filter((message) => message.kind === "Hello"));
  expect(hellos.map((hello) => hello.token)).toEqual(["dev:ana", "dev:ana"]);
});

test("presence is of what the server takes that the link leads to", async () => {
  const host: CopyHost = {
    store,
    tab: "tab",
    subject: "",
    frameBytesMax: DEFAULT_LIMITS.frameBytesMax,
    presenceBytesMax: DEFAULT_LIMITS.presenceBytesMax,
    linkStatus: lead.status,
    stored: () => {},
    presenceMoved: () => {},
    released: () => {},
  };
  copy = (session) => Promise.resolve(new Copy(session, host));
  const presence = { activity: "idle", draft: "x".repeat(1_000) };
  lead.places("tab", [{ session: "s", presence, visible: true }]);
  const said = (): unknown[] =>
    Socket.made.at(-1)!.sent.flatMap((message) => (message.kind === "SetPresence" ? [message.state] : []));
  await vi.waitFor(() => expect(said()).toEqual([presence]));
  welcome = { ...WELCOME, presenceBytesMax: 500 };
  lead.renewed();
  await vi.waitFor(() => expect(Socket.made.length).toBe(2));
  await vi.waitFor(() => expect(said()).toEqual([{ activity: "idle" }]));
  expect(bytesMax).toBe(500);
});
