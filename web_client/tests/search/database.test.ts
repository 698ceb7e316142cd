/** The search copy's database, in memory, with the SQLite that the worker runs. */

import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { beforeEach, describe, expect, test } from "vitest";
import { SearchDatabase } from "../../src/search/database.js";
import { EMPTY_MARK, indexed, marked } from "../../src/search/requests.js";
import type { Indexed, Searchable } from "../../src/search/requests.js";

const sqlite3 = await sqlite3InitModule();

function message(id: string, text: string, seq: number | null = 1): Indexed {
  return indexed({ id, seq, by: "user:mona", text, createdAt: 1_764_000_000_000, streaming: false });
}

let database: SearchDatabase;
let raw: InstanceType<typeof sqlite3.oo1.DB>;

beforeEach(() => {
  raw = new sqlite3.oo1.DB(":memory:");
  database = new SearchDatabase(raw);
  database.create();
});

const found = (query: string, session: string | null = null, limit = 50) =>
  database.find(query, session, limit).map((hit) => `${hit.session}/${hit.message}`);

describe("the search copy", () => {
  test("finds whole words, phrases, and the beginning of the last", () => {
    database.put("trip", [
      message("one", "The tram to Belém"),
      message("two", "Tramway museum, closed"),
      message("三", "要开会议记录"),
    ]);
    expect(found("tram").toSorted()).toEqual(["trip/one", "trip/two"]);
    expect(found("tram belem")).toEqual(["trip/one"]);
    expect(found("tram x")).toEqual([]);
    expect(found("museum,closed")).toEqual(["trip/two"]);
    expect(found("closed,museum")).toEqual([]);
    expect(found("会议")).toEqual(["trip/三"]);
    expect(found('" OR NEAR( *')).toEqual([]);
    expect(found("   ")).toEqual([]);
  });

  test("tells what is needed to show a hit, at most as many as asked for", () => {
    database.put("trip", [message("one", "a tram", 7), message("two", "a tram", null)]);
    database.put("other", [message("one", "a tram")]);
    expect(database.find("tram", "trip", 1)).toEqual([
      {
        session: "trip",
        message: "one",
        seq: 7,
        by: "user:mona",
        at: 1_764_000_000_000,
        snippet: { text: "a tram", ranges: [[2, 6]] },
      },
    ]);
    expect(found("tram").length).toBe(3);
    expect(found("tram", "other")).toEqual(["other/one"]);
    expect(found("tram", null, 0)).toEqual([]);
  });

  test("keeps one text of each message, the newest, and none of one without", () => {
    database.put("trip", [message("one", "first words")]);
    database.put("trip", [message("one", "second words")]);
    expect([found("first"), found("second")]).toEqual([[], ["trip/one"]]);
    database.put("trip", [message("one", "")]);
    expect(found("words")).toEqual([]);
    expect(database.mark("trip")).toEqual(EMPTY_MARK);
    expect(raw.selectValue("SELECT count(*) FROM message_words")).toBe(0);
  });

  test("a message that only got its place is found with it", () => {
    database.put("trip", [message("one", "a tram", null)]);
    database.put("trip", [message("one", "a tram", 9)]);
    expect(database.find("tram", null, 1)[0]?.seq).toBe(9);
    expect(database.mark("trip")).toEqual(marked(EMPTY_MARK, message("one", "a tram", 9).hash, 1));
  });

  test("the mark is of what is indexed, in whatever order it came", () => {
    const all = Array.from({ length: 50 }, (_, nth) => message(`m${nth}`, `text ${nth}`, nth));
    database.put("trip", all);
    const mark = all.toReversed().reduce((before, { hash }) => marked(before, hash, 1), EMPTY_MARK);
    expect(database.answer({ kind: "same", session: "trip", mark })).toBe(true);
    database.put("trip", [message("m3", "another")]);
    expect(database.answer({ kind: "same", session: "trip", mark })).toBe(false);
    database.put("trip", [all[3]!]);
    expect(database.answer({ kind: "same", session: "trip", mark })).toBe(true);
  });

  test("wants what is new or another; what is not offered as part of the whole goes", () => {
    database.put("trip", [message("same", "a"), message("another", "b"), message("gone", "c")]);
    const entries = [message("same", "a"), message("another", "bb"), message("new", "d")].map(
      ({ id, hash }) => [id, hash] as const,
    );
    expect(database.wanted("trip", entries, false)).toEqual(["another", "new"]);
    expect(found("c")).toEqual(["trip/gone"]);
    expect(database.wanted("trip", entries, true)).toEqual(["another", "new"]);
    expect(found("c")).toEqual([]);
  });

  test("a session that is removed leaves nothing in the file", () => {
    raw.exec("PRAGMA secure_delete = ON");
    database.put("secret", [message("one", "xylophone and zeppelin")]);
    database.put("trip", [message("one", "a tram")]);
    database.remove("secret");
    expect([found("xylophone"), found("tram")]).toEqual([[], ["trip/one"]]);
    const bytes = Buffer.from(sqlite3.capi.sqlite3_js_db_export(raw)).toString("latin1");
    expect(bytes).toContain("tram");
    expect(bytes).not.toMatch(/xylophone|zeppelin|secret/);
  });

  test("texts go through as they are", () => {
    const texts = ["nul \0 behind", "\ud83d\ude00 smile", "line\nbreak", "x".repeat(300_000) + " end"];
    database.put(
      "trip",
      texts.map((text, nth) => message(`m${nth}`, text)),
    );
    expect(raw.selectValues("SELECT text FROM message ORDER BY row")).toEqual(texts);
    expect([found("behind"), found("😀"), found("end")]).toEqual([["trip/m0"], ["trip/m1"], ["trip/m3"]]);
  });

  test("knows when its tables are of another version", () => {
    expect(database.isSound()).toBe(true);
    raw.exec("PRAGMA user_version = 99");
    expect(database.isSound()).toBe(false);
  });

  test("a message is a view's object, whatever its clock says", () => {
    const view: Searchable = { id: "one", seq: null, by: null, text: "tram", createdAt: 1e300, streaming: true };
    database.put("trip", [indexed(view)]);
    expect(database.find("tram", null, 1)[0]).toMatchObject({ seq: null, by: null, at: 0 });
  });
});
