/** State: shared maps, lists and texts, undo of one's own edits alone, and the one kind that a name has. */

import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { State } from "../src/core/state.js";
import { pair } from "./pair.js";

describe("state", () => {
  it("is edited together, also apart", async () => {
    const { mona, tom, monas } = pair();
    monas.disconnect();
    mona.state.map("screen").set("tab", "map");
    mona.state.list("todo").push([{ what: "taxi" }]);
    tom.state.list("todo").push([{ what: "tickets" }]);
    tom.state.text("notes").insert(0, "shade");
    monas.connect();
    await Promise.all([mona.synced(), tom.synced()]);
    await tom.until(() => (tom.state.list("todo").length === 2 ? true : null));
    await mona.until(() => (mona.state.text("notes").length > 0 ? true : null));
    expect(mona.state.json()).toEqual(tom.state.json());
    expect(mona.state.json()).toMatchObject({ screen: { tab: "map" }, notes: "shade" });
    expect(Object.keys(mona.state.json())).toEqual(["notes", "screen", "todo"]);
  });

  it("shows what came while it is open under names that nobody here asked for", () => {
    const there = new Y.Doc();
    there.getMap("screen").set("tab", "list");
    there.getMap("screen").set("tab", "map");
    there.getMap("screen").set("gone", 1);
    there.getMap("screen").delete("gone");
    there.getMap("screen").set("nested", new Y.Map([["a", [1, null]]]));
    there.getArray("todo").push([{ what: "taxi" }, "tickets", new Y.Text("tram")]);
    there.getArray("todo").delete(1, 1);
    there.getText("notes").insert(0, "in the shade", { bold: true });
    there.getText("notes").delete(0, 3);
    const here = new Y.Doc();
    const state = new State({ document: () => here, roots: new Map() });
    Y.applyUpdate(here, Y.encodeStateAsUpdate(there));
    const found = state.json();
    expect(found).toEqual({
      screen: { tab: "map", nested: { a: [1, null] } },
      todo: [{ what: "taxi" }, "tram"],
      notes: "the shade",
    });
    expect(found).toEqual({
      screen: there.getMap("screen").toJSON(),
      todo: there.getArray("todo").toJSON(),
      notes: there.getText("notes").toJSON(),
    });
  });

  it("shows nothing for a name that was only looked at", () => {
    const { mona } = pair();
    void [mona.state.map("a"), mona.state.text("b"), mona.state.fragment("c")];
    expect(mona.state.json()).toEqual({});
  });

  it("refuses a second kind for a name, whoever gave it the first, and names that are none", async () => {
    const { mona, tom } = pair();
    mona.state.text("notes").insert(0, "x");
    expect(() => mona.state.map("notes")).toThrow(/"notes" is a text in this session, not a map/);
    mona.state.map("fresh");
    expect(() => mona.state.list("fresh")).toThrow(/not a list/);
    await mona.synced();
    expect(() => tom.state.list("notes")).toThrow(/is a text in this session/);
    expect(() => mona.state.map("")).toThrow(/1 to 256 bytes/);
    expect(() => mona.state.map("é".repeat(129))).toThrow(/1 to 256 bytes/);
    expect(() => mona.state.map("__proto__")).toThrow(/__proto__/);
  });

  it("does not undo what the session is called", () => {
    const { mona } = pair();
    mona.state.map("session").set("title", "Lisbon");
    expect(mona.state.can.undo).toBe(false);
    mona.state.text("notes").insert(0, "shade");
    mona.state.map("session").set("title", "Porto");
    expect(mona.state.undo()).toBe(true);
    expect(mona.state.json()).toEqual({ notes: "", session: { title: "Porto" } });
    expect(mona.state.undo()).toBe(false);
  });

  it("undoes this tab's edits, whatever made them, and nobody else's", async () => {
    const { mona, tom } = pair();
    const notes = mona.state.text("notes");
    expect(mona.state.can).toEqual({ undo: false, redo: false });
    notes.insert(0, "mine");
    await mona.synced();
    await tom.until(() => (tom.state.text("notes").length > 0 ? true : null));
    tom.state.text("notes").insert(4, " and his");
    await tom.synced();
    await mona.until(() => (notes.length > 4 ? true : null));
    // As an editor's binding does it: one transaction with an origin of its own.
    const origin = { binding: true };
    mona.state.document.transact(() => mona.state.map("screen").set("tab", "map"), origin);
    expect(mona.state.can).toEqual({ undo: true, redo: false });
    expect(mona.state.undo()).toBe(true);
    expect(mona.state.json()).toEqual({ notes: " and his", screen: {} });
    expect(mona.state.undo()).toBe(false);
    expect(mona.state.redo()).toBe(true);
    expect(mona.state.json()).toEqual({ notes: "mine and his", screen: { tab: "map" } });
    await mona.synced();
    await tom.until(() => (tom.state.map("screen").size > 0 ? true : null));
  });

  it("tells which names changed, and whose word it was", async () => {
    const { mona, tom } = pair();
    const changes = mona.changes();
    await changes.next();
    mona.state.map("a").set("x", 1);
    tom.state.list("b").push([1]);
    const seen: unknown[] = [];
    for await (const change of changes) {
      if (change.kind === "state") seen.push([change.name, change.own]);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual([
      ["a", true],
      ["b", false],
    ]);
  });

  it("goes on after the documents were replaced: names lead to the new ones", async () => {
    const { server, mona } = pair();
    mona.state.map("kept").set("x", 1);
    await mona.synced();
    server.refuse = () => ({ code: "forbidden", reason: "no" });
    const old = mona.state.document;
    mona.state.map("lost").set("x", 1);
    await mona.until(() => (mona.state.document === old ? null : true));
    expect(mona.state.json()).toEqual({ kept: { x: 1 } });
    server.refuse = () => null;
    mona.state.map("kept").set("y", 2);
    expect(mona.state.undo()).toBe(true);
    expect(mona.state.json()).toEqual({ kept: { x: 1 } });
    expect(mona.state.map("kept")).toBeInstanceOf(Y.Map);
  });
});
