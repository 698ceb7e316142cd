/** How messages come into the copy: nothing twice, nothing forgotten, nothing at once. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Attached } from "../../src/search/attached.js";
import type { SearchSession } from "../../src/search/attached.js";
import { Feed } from "../../src/search/feed.js";
import { Unanswered } from "../../src/search/requests.js";
import type { Ask, Holder, Searchable } from "../../src/search/requests.js";
import { leadershipOf } from "../../src/search/tenure.js";
import type { Session } from "../../src/session.js";

// What apps attach.
const _fits: (session: Session) => SearchSession = (session) => session;
void _fits;

function message(id: string, text: string, streaming = false): Searchable {
  return { id, seq: 1, by: null, text, createdAt: 0, streaming };
}

/** Notes what it is asked, and has each message with the text it was last put with. */
class FakeHolder implements Holder {
  readonly asked: Ask[] = [];
  readonly texts = new Map<string, string>();
  readonly hashes = new Map<string, number>();
  fails: Unanswered | null = null;

  ask(ask: Ask): Promise<unknown> {
    this.asked.push(ask);
    if (this.fails !== null) return Promise.reject(this.fails);
    if (ask.kind === "same") return Promise.resolve(false);
    if (ask.kind === "offer") {
      return Promise.resolve(ask.entries.filter(([id, hash]) => this.hashes.get(id) !== hash).map(([id]) => id));
    }
    if (ask.kind === "put") {
      for (const { id, text, hash } of ask.messages) {
        this.texts.set(id, text);
        this.hashes.set(id, hash);
      }
    }
    return Promise.resolve(null);
  }

  get kinds(): string[] {
    return this.asked.map((ask) => ask.kind);
  }
}

function feedOf(first: FakeHolder | null, isOwn = true) {
  const sessions = new Map<string, Searchable[]>();
  const host = {
    holder: first as Holder | null,
    holds: isOwn,
    failures: [] as string[],
    messages: (session: string) => sessions.get(session) ?? null,
    failed(holder: Holder, error: Unanswered) {
      host.failures.push(error.code);
      if (host.holder === holder) host.holder = null;
    },
    idle() {},
  };
  return { feed: new Feed(host), host, sessions };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the feed", () => {
  test("indexes a message that is written once, however many tokens came", async () => {
    const holder = new FakeHolder();
    const { feed } = feedOf(holder);
    for (let nth = 1; nth <= 100; nth++) {
      feed.put("trip", [message("a", "x".repeat(nth), true)]);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(holder.kinds).toEqual([]);
    expect(Array.from(feed.pending())).toEqual([["trip", [message("a", "x".repeat(100), true)]]]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(holder.kinds).toEqual(["put"]);
    feed.put("trip", [message("a", "done")]);
    await vi.advanceTimersByTimeAsync(100);
    expect([holder.kinds, holder.texts.get("a"), feed.isIdle]).toEqual([["put", "put"], "done", true]);
  });

  test("brings what another holder of the copy lacks, and nothing that it has", async () => {
    const holder = new FakeHolder();
    const { feed, sessions } = feedOf(holder, false);
    sessions.set("trip", [message("a", "one"), message("b", "two"), message("c", "")]);
    feed.bring("trip");
    await vi.advanceTimersByTimeAsync(10);
    expect(holder.kinds).toEqual(["same", "offer", "put"]);
    expect(holder.asked[1]).toMatchObject({ whole: false });
    feed.put("trip", [message("b", "two")]);
    await vi.advanceTimersByTimeAsync(200);
    expect(holder.kinds).toEqual(["same", "offer", "put", "offer"]);
    expect([...holder.texts.keys()]).toEqual(["a", "b"]);
  });

  test("keeps what was not confirmed for the next holder", async () => {
    const [first, next] = [new FakeHolder(), new FakeHolder()];
    const { feed, host, sessions } = feedOf(first);
    sessions.set("trip", [message("a", "one")]);
    first.fails = new Unanswered("gone", "closed");
    feed.bring("trip");
    feed.put("other", [message("z", "last")]);
    await vi.advanceTimersByTimeAsync(500);
    expect([host.failures, feed.isIdle]).toEqual([["gone"], false]);
    host.holder = next;
    feed.kick();
    await vi.advanceTimersByTimeAsync(500);
    expect([...next.texts]).toEqual([
      ["a", "one"],
      ["z", "last"],
    ]);
    expect(feed.isIdle).toBe(true);
    next.fails = new Unanswered("gone", "closed");
    feed.put("other", [message("z", "newest")]);
    await vi.advanceTimersByTimeAsync(500);
    expect([host.failures, feed.isIdle]).toEqual([["gone", "gone"], false]);
    next.fails = null;
    host.holder = next;
    feed.kick();
    await vi.advanceTimersByTimeAsync(500);
    expect([next.texts.get("z"), feed.isIdle]).toEqual(["newest", true]);
  });

  test("is through with what is under way of a session before that is removed", async () => {
    const holder = new FakeHolder();
    const { feed, sessions } = feedOf(holder);
    const answers: (() => void)[] = [];
    const ask = holder.ask.bind(holder);
    holder.ask = (asked) => new Promise((resolve) => answers.push(() => resolve(ask(asked))));
    sessions.set("trip", [message("a", "words")]);
    feed.bring("trip");
    let isDropped = false;
    void feed.drop("trip").then(() => (isDropped = true));
    for (const kind of ["same", "offer", "put"]) {
      expect(isDropped).toBe(false);
      answers.shift()!();
      await vi.advanceTimersByTimeAsync(0);
      expect(holder.kinds.at(-1)).toBe(kind);
    }
    expect(isDropped).toBe(true);
  });

  test("does not send again what failed of a session that is to be removed", async () => {
    const holder = new FakeHolder();
    const { feed, sessions } = feedOf(holder);
    sessions.set("trip", [message("a", "words")]);
    holder.fails = new Unanswered("moved", "another tab has it now");
    feed.bring("trip");
    await feed.drop("trip");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(holder.kinds).toEqual(["same"]);
    expect(feed.isIdle).toBe(true);
  });

  test("forgets a session that is to be removed", async () => {
    const holder = new FakeHolder();
    const { feed } = feedOf(holder);
    feed.put("trip", [message("a", "one")]);
    feed.drop("trip");
    await vi.advanceTimersByTimeAsync(500);
    expect(holder.kinds).toEqual([]);
  });
});

test("an attached session is looked through once a quarter of a second, and tells only what changed", async () => {
  let messages = [message("a", "one"), message("b", "two")];
  let looks = 0;
  let tell = () => {};
  const session: SearchSession = {
    id: "trip",
    messages: () => (looks++, messages),
    message: (id) => messages.find((one) => one.id === id),
    subscribe: (listener) => ((tell = listener), () => (tell = () => {})),
  };
  const told: Searchable[][] = [];
  const attached = new Attached(session, (changed) => told.push([...changed]));
  for (let nth = 0; nth < 100; nth++) {
    messages = [messages[0]!, message("b", `two ${nth}`, true)];
    tell();
  }
  await vi.advanceTimersByTimeAsync(250);
  expect([looks, told]).toEqual([2, [[message("b", "two 99", true)]]]);
  messages = [messages[1]!];
  tell();
  attached.close();
  expect(told[1]).toEqual([message("a", "")]);
  expect([attached.has("a"), attached.has("b")]).toEqual([false, true]);
});

test("a tab holds the copy while it leads", () => {
  const tab = { leads: false, tell: () => {}, subscribe: (listener: () => void) => ((tab.tell = listener), () => {}) };
  const terms: AbortSignal[] = [];
  const resign = leadershipOf(tab)((term) => terms.push(term));
  for (const leads of [true, true, false, true]) {
    tab.leads = leads;
    tab.tell();
  }
  expect(terms.map((term) => term.aborted)).toEqual([true, false]);
  resign();
  expect(terms.map((term) => term.aborted)).toEqual([true, true]);
});
