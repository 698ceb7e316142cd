/** A session's content as an SQLite file, whatever stands in its documents. */

import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { contentOf } from "../../src/search/content.js";
import { exported } from "../../src/search/export.js";
import { EXPORT_APPLICATION, EXPORT_VERSION } from "../../src/search/schema.js";

const sqlite3 = await sqlite3InitModule();

function open(bytes: Uint8Array) {
  const database = new sqlite3.oo1.DB(":memory:");
  const pointer = sqlite3.wasm.allocFromTypedArray(bytes);
  const flags = sqlite3.capi.SQLITE_DESERIALIZE_FREEONCLOSE;
  sqlite3.capi.sqlite3_deserialize(database.pointer!, "main", pointer, bytes.length, bytes.length, flags);
  return database;
}

function fileOf(write: (document: Y.Doc) => void) {
  const document = new Y.Doc();
  document.transact(() => write(document));
  return open(exported(sqlite3, contentOf("trip", document, null, 5)));
}

describe("a downloaded session", () => {
  test("an empty one has all tables, and says which version they are", () => {
    const file = fileOf(() => {});
    const tables = file.selectValues("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    expect(tables).toEqual(["commands", "messages", "parts", "reads", "receipts", "runs", "session", "state"]);
    expect(file.selectValue("PRAGMA user_version")).toBe(EXPORT_VERSION);
    expect(file.selectValue("PRAGMA application_id")).toBe(EXPORT_APPLICATION);
    expect(file.selectArray("SELECT id, exported_at FROM session")).toEqual(["trip", 5]);
  });

  test("a text is whole, with all its segments, in its part and in its message", () => {
    const file = fileOf((document) => {
      const more = Y.Array.from([new Y.Text("do"), new Y.Text("n")]);
      const part = new Y.Map<unknown>([
        ["type", "text"],
        ["text", new Y.Text("Lon")],
        ["more", more],
      ]);
      document.getMap("messages").set("m1", new Y.Map<unknown>([["parts", Y.Array.from([part])]]));
    });
    expect(file.selectArrays("SELECT message, position, text FROM parts")).toEqual([["m1", 0, "London"]]);
    expect(file.selectValue("SELECT text FROM messages")).toBe("London");
  });

  test("what is not as the schema says is kept as it is, and breaks nothing", () => {
    const file = fileOf((document) => {
      const messages = document.getMap("messages");
      messages.set("number", 7);
      messages.set("nothing", null);
      messages.set(
        "odd",
        new Y.Map<unknown>([
          ["parts", "none"],
          ["created_at", 1.5],
          ["to", 3],
          ["role", ["user"]],
        ]),
      );
      messages.set(
        "bytes",
        new Y.Map<unknown>([
          ["metadata", new Uint8Array([1, 2, 255])],
          ["attempt", 2 ** 60],
        ]),
      );
      messages.set("__proto__", new Y.Map<unknown>([["role", "user"]]));
      document.getMap("commands").set("c1", "cancel");
      document.getMap("runs").set("run_x", new Y.Map());
      document.getMap("receipts").set("m:odd", [1]);
      document.getMap("receipts").set("no colon", true);
      document.getMap("reads").set("user:mona", null);
    });
    const contents = Object.fromEntries(file.selectArrays("SELECT id, content FROM messages"));
    expect(contents["number"]).toBe("7");
    expect(contents["nothing"]).toBe("null");
    expect(JSON.parse(String(contents["odd"]))).toEqual({ parts: "none", created_at: 1.5, to: 3, role: ["user"] });
    expect(file.selectValue("SELECT metadata FROM messages WHERE id = 'bytes'")).toBe('{"base64":"AQL/"}');
    expect(file.selectValue("SELECT created_at FROM messages WHERE id = 'odd'")).toBe(null);
    expect(file.selectValue("SELECT count(*) FROM messages")).toBe(5);
    expect(file.selectArrays("SELECT run, attempt FROM runs")).toEqual([["run", 0]]);
    expect(file.selectArrays("SELECT key, kind, content FROM receipts ORDER BY key")).toEqual([
      ["m:odd", "message", "[1]"],
      ["no colon", "no colon", "true"],
    ]);
    expect(file.selectArrays("SELECT * FROM reads")).toEqual([["user:mona", null, null]]);
  });
});
