/** A session list over a link that is a stand-in: pages, changes, another link, and what is there without one. */

import "fake-indexeddb/auto";
import { describe, expect, it } from "vitest";
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
    link.rows = Array.from({ length: 7 }, (_, n) => row(`s${n}`, n + 1));
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
    link.rows = Array.from({ length: 6 }, (_, n) => row(`s${n}`, n + 1));
    const small = await link.list({ count: 2 });
    const large = await link.list({ count: 5 });
    link.stands("live");
    link.answer();
    expect(names(small).slice(0, 2)).toEqual(["s5", "s4"]);
    expect(names(large)).toEqual(["s5", "s4", "s3", "s2", "s1"]);
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
