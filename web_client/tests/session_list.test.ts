/** A session list over a link that is a stand-in: pages, changes, another link, and what is there without one. */

import "fake-indexeddb/auto";
import { describe, expect, it, vi } from "vitest";
import type { IndexRow, Watch } from "../src/core/messages.js";
import { SessionList } from "../src/session_list.js";
import type { ListHost, ListOptions } from "../src/session_list.js";

let stores = 0;

function row(session: string, at: number, more: Partial<IndexRow> = {}): IndexRow {
  return {
    session,
    title: "",
    tags: [],
    archived: false,
    at,
    seq: 1,
    excerpt: "",
    unread: 0,
    needs: [],
    running: {},
    here: {},
    responsible: "",
    ...more,
  };
}

/** So many, from the oldest to the newest. */
function sessions(count: number): IndexRow[] {
  return Array.from({ length: count }, (_, n) => row(`s${n}`, n + 1));
}

/** A link that answers from its own list, the newest first, when it is told to. */
class Link implements ListHost {
  link = "offline";
  leads = true;
  rows: IndexRow[] = [];
  readonly asked: Watch[] = [];
  readonly #lists = new Set<SessionList>();
  readonly #listeners = new Set<() => void>();

  constructor(readonly storeName = `list-${(stores += 1)}`) {}

  get status(): { readonly link: string } {
    return { link: this.link };
  }

  async list(options?: ListOptions): Promise<SessionList> {
    const list = new SessionList(this, options);
    this.#lists.add(list);
    await list.load();
    return list;
  }

  ask(watch: Watch): void {
    this.asked.push(watch);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  unlist(list: SessionList): void {
    this.#lists.delete(list);
  }

  stands(link: string): void {
    this.link = link;
    for (const listener of this.#listeners) listener();
  }

  /** Answer what was asked, each page asked for by that too. */
  answer(): void {
    for (let asked = this.asked.shift(); asked !== undefined; asked = this.asked.shift()) {
      const { after, limit, archived } = asked;
      const all = this.rows.filter((each) => each.archived === archived).sort((a, b) => b.at - a.at);
      const rows = all.filter(({ at }) => after === "" || at < Number(after)).slice(0, limit);
      const whole = rows.length === 0 || rows.at(-1) === all.at(-1);
      const next = whole ? "" : `${rows.at(-1)!.at}`;
      for (const list of this.#lists) list.told(asked, { kind: "Index", rows, next, whole });
    }
  }

  /** Have sessions come that are newer than all there are. */
  come(count: number): void {
    const rows = sessions(this.rows.length + count).slice(this.rows.length);
    this.rows.push(...rows);
    this.change(rows);
  }

  change(rows: IndexRow[], gone: string[] = []): void {
    for (const list of this.#lists) list.told(null, { kind: "IndexChanged", rows, gone });
  }
}

function names(list: SessionList): string[] {
  return list.rows.map(({ session }) => session);
}

describe("a list", () => {
  it("is asked for when there is a link, and follows its changes", async () => {
    const link = new Link();
    link.rows = [row("a", 1), row("b", 2)];
    const list = await link.list();
    expect([names(list), list.live]).toEqual([[], false]);
    link.stands("live");
    link.answer();
    expect([names(list), list.live, list.whole]).toEqual([["b", "a"], true, true]);
    const before = list.rows;
    expect(list.rows).toBe(before);
    link.change([row("a", 3, { unread: 2 }), row("new", 4, { unread: 1 })]);
    expect([names(list), list.unread]).toEqual([["new", "a", "b"], 3]);
    link.change([row("a", 3, { archived: true })], ["b"]);
    expect(names(list)).toEqual(["new"]);
  });

  it("has older ones by page, as many as were asked for", async () => {
    const link = new Link();
    link.rows = sessions(7);
    const list = await link.list({ count: 3 });
    link.stands("live");
    link.answer();
    expect([names(list), list.whole]).toEqual([["s6", "s5", "s4"], false]);
    const more = list.older(2);
    link.answer();
    await more;
    expect(names(list)).toEqual(["s6", "s5", "s4", "s3", "s2"]);
    const rest = list.older(50);
    link.answer();
    await rest;
    expect([names(list).length, list.whole]).toEqual([7, true]);
    await list.older();
    expect(link.asked).toEqual([]);
  });

  it("lets go of what a page should hold and does not", async () => {
    const link = new Link();
    link.rows = [row("a", 1), row("b", 2), row("c", 3)];
    const list = await link.list({ count: 2 });
    link.stands("live");
    link.answer();
    const more = list.older();
    link.answer();
    await more;
    expect(names(list)).toEqual(["c", "b", "a"]);
    link.stands("reconnecting");
    link.rows = [row("a", 1), row("c", 3)]; // A narrower token names two of them.
    link.stands("live");
    link.answer();
    expect(names(list)).toEqual(["c", "a"]);
  });

  it("is asked for anew with a fresh token, which may name others", async () => {
    const link = new Link();
    link.rows = [row("a", 1), row("b", 2)];
    const list = await link.list();
    link.stands("live");
    link.answer();
    link.rows = [row("b", 2), row("c", 3)];
    list.told(null, { kind: "Refreshed", expiresAt: 0 });
    expect(names(list)).toEqual(["b", "a"]);
    link.answer();
    expect(names(list)).toEqual(["c", "b"]);
  });

  it("is there without a link as it was heard last, but for who is there", async () => {
    const link = new Link();
    link.rows = [row("a", 1, { here: { "user:ann": "active" }, unread: 3 }), row("put-away", 2, { archived: true })];
    const list = await link.list();
    const away = await link.list({ archived: true });
    link.stands("live");
    link.answer();
    expect([names(list), names(away)]).toEqual([["a"], ["put-away"]]);
    expect(list.rows[0]!.here).toEqual({ "user:ann": "active" });
    link.stands("offline");
    expect([list.live, list.rows[0]!.here, list.rows[0]!.unread]).toEqual([false, {}, 3]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    list.close();
    away.close();
    const later = await new Link(link.storeName).list();
    expect(later.rows).toEqual([row("a", 1, { unread: 3 })]);
  });

  it("hears what another tab asked for, and takes no page for the next of its own", async () => {
    const link = new Link();
    link.rows = sessions(6);
    const small = await link.list({ count: 2 });
    const large = await link.list({ count: 5 });
    link.stands("live");
    link.answer();
    expect(names(small).slice(0, 2)).toEqual(["s5", "s4"]);
    expect(names(large)).toEqual(["s5", "s4", "s3", "s2", "s1"]);
  });

  it("has older ones as many as were asked for, also when new ones came before", async () => {
    const link = new Link();
    link.rows = sessions(20);
    const list = await link.list({ count: 3 });
    link.stands("live");
    link.answer();
    link.come(5);
    expect(list.rows.length).toBe(8);
    const more = [list.older(5), list.older(1)];
    link.answer();
    await Promise.all(more);
    expect(list.rows.length).toBe(14);
  });

  it("stays as long as it is when it is asked for anew, and when the link goes", async () => {
    const link = new Link();
    link.rows = sessions(20);
    const list = await link.list({ count: 3 });
    link.stands("live");
    link.answer();
    link.come(5);
    list.told(null, { kind: "Refreshed", expiresAt: 0 });
    link.answer();
    expect(list.rows.length).toBe(8);
    link.stands("reconnecting");
    expect(list.rows.length).toBe(8);
  });

  it("is as whole as it was when another one is opened", async () => {
    const link = new Link();
    link.rows = sessions(3);
    const list = await link.list({ count: 3 });
    link.stands("live");
    link.answer();
    link.come(5);
    const other = await link.list({ count: 3 });
    link.answer();
    expect([names(list).length, list.whole, names(other).length]).toEqual([8, true, 3]);
  });

  it("goes on when another one is the last that a tab closes, which ends it for the device", async () => {
    const link = new Link();
    link.rows = sessions(3);
    const list = await link.list();
    link.stands("live");
    link.answer();
    const none: Watch = { kind: "Watch", after: "", limit: 0, archived: false };
    list.told(none, { kind: "Index", rows: [], next: "", whole: false });
    expect(link.asked).toEqual([{ kind: "Watch", after: "", limit: 100, archived: false }]);
    expect([names(list).length, list.live]).toEqual([3, true]);
  });

  it("takes a page that the server could not read for nothing, and asks again", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const link = new Link();
      link.rows = sessions(3);
      const loading = link.list();
      await vi.runAllTimersAsync();
      const list = await loading;
      link.stands("live");
      link.answer();
      link.stands("reconnecting");
      link.stands("live");
      const failed = () => list.told(link.asked.shift()!, { kind: "Index", rows: [], next: "", whole: false });
      failed();
      expect([names(list).length, list.live, link.asked]).toEqual([3, false, []]);
      vi.advanceTimersByTime(5_000);
      expect(link.asked.length).toBe(1);
      link.answer();
      expect([names(list).length, list.live]).toEqual([3, true]);
      list.told(null, { kind: "Refreshed", expiresAt: 0 });
      failed();
      expect([names(list).length, list.live]).toEqual([3, true]);
      list.close();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("keeps on this device what the other kind of list has just taken over", async () => {
    const link = new Link();
    link.rows = [row("a", 1), row("b", 2)];
    const list = await link.list();
    const away = await link.list({ archived: true });
    link.stands("live");
    link.answer();
    link.stands("reconnecting");
    link.rows = [row("a", 1, { archived: true }), row("b", 2)];
    link.stands("live");
    link.asked.reverse(); // As if the list of those that were put away had been there first.
    link.answer();
    expect([names(list), names(away)]).toEqual([["b"], ["a"]]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(names(await new Link(link.storeName).list({ archived: true }))).toEqual(["a"]);
  });

  it("brings nothing back from this device that the server does not list any more", async () => {
    const before = new Link();
    before.rows = [row("a", 1), row("b", 2)];
    await before.list();
    before.stands("live");
    before.answer();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const link = new Link(before.storeName);
    link.rows = [row("b", 2)];
    const loading = link.list();
    link.stands("live");
    link.answer();
    const list = await loading;
    link.answer();
    expect([names(list), list.live]).toEqual([["b"], true]);
  });

  it("knows what does not belong in it: what was put away, and what is no more", async () => {
    const link = new Link();
    link.rows = sessions(4);
    const list = await link.list();
    link.stands("live");
    link.answer();
    const lacks = () => [...["s0", "s1", "s2", "s3"].filter((id) => list.lacks(id)), list.lacks("only-here")];
    expect(lacks()).toEqual([false]);
    link.change([row("s0", 1, { archived: true })], ["s1"]);
    expect(lacks()).toEqual(["s0", "s1", false]);
    link.stands("reconnecting");
    link.rows = sessions(2);
    link.stands("live");
    link.answer();
    expect(lacks()).toEqual(["s2", "s3", false]);
  });

  it("says nothing more when it is closed, and whoever waits goes on", async () => {
    const link = new Link();
    link.rows = [row("a", 1), row("b", 2)];
    const list = await link.list({ count: 1 });
    link.stands("live");
    link.answer();
    const more = list.older();
    let told = 0;
    list.subscribe(() => (told += 1));
    list.close();
    await more;
    link.answer();
    link.change([row("b", 9)]);
    expect(told).toBe(0);
  });
});
