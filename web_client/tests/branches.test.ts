/** Branches: the trees that Python makes, and that what comes behind all others is taken as if all were made anew. */

import { describe, expect, it } from "vitest";
import { Branches } from "../src/branches.js";
import type { BranchItem, Selection } from "../src/branches.js";
import type { JsonMap } from "../src/core/messages.js";
import type { Role } from "../src/schema.js";
import { byPlace, MessageView } from "../src/transcript.js";
import { golden } from "./golden.js";

interface Fields {
  readonly id: string;
  readonly role: Role;
  readonly by: string;
  readonly seq: number | null;
  readonly to?: readonly string[];
  readonly created_at?: number;
  readonly parent?: string;
  readonly fork_of?: string;
  readonly attempt?: number;
  readonly metadata?: JsonMap;
}

interface Case {
  readonly name: string;
  readonly messages: readonly Fields[];
  readonly superseded: readonly string[];
  readonly parents: Record<string, string | null>;
  readonly views: readonly { selected: Selection; leaf: string | null; items: readonly unknown[][] }[];
}

const { cases } = golden<{ cases: Case[] }>("branches.json");

function messageOf(fields: Fields): MessageView {
  const receipt = fields.seq === null ? null : { seq: fields.seq, by: fields.by, at: 0 };
  const { id, role, to = [], created_at: at = 0, attempt = null, parent = null, fork_of: forkOf = null } = fields;
  return new MessageView(id, role, {}, to, [], at, null, attempt, parent, forkOf, fields.metadata ?? {}, receipt);
}

function shown(branches: Branches, selected: Selection, leaf: string | null): unknown[][] {
  return branches.view(selected, leaf).ids.map((id) => {
    const { group, index, count, siblings } = branches.item(id) as BranchItem;
    return count > 1 ? [id, group, index, siblings] : [id, group];
  });
}

describe("golden vectors", () => {
  it.each(cases)("$name: every view is Python's", ({ messages, superseded, parents, views }) => {
    const branches = new Branches(messages.map(messageOf).sort(byPlace), new Set(superseded));
    for (const { selected, leaf, items } of views) expect(shown(branches, selected, leaf)).toEqual(items);
    expect(Object.fromEntries(messages.map(({ id }) => [id, branches.parentOf(id)]))).toEqual(parents);
  });

  it("hold forks, requests and superseded output in plenty", () => {
    expect(cases.length).toBeGreaterThan(60);
    expect(cases.filter(({ superseded }) => superseded.length > 0).length).toBeGreaterThan(10);
  });
});

describe("a request", () => {
  it("is answered by whom it was given to as by whom it names, and by nobody else", () => {
    const fields = { seq: 1, by: "user:x", role: "user" as const };
    const messages = [
      messageOf({ ...fields, id: "u" }),
      messageOf({ ...fields, id: "a", seq: 2, role: "assistant", by: "agent:a" }),
      messageOf({
        ...fields,
        id: "r",
        seq: 3,
        role: "system",
        to: ["agent:a"],
        fork_of: "a",
        metadata: { regenerate: "a" },
      }),
      messageOf({ ...fields, id: "o", seq: 4, role: "assistant", by: "agent:other", parent: "r" }),
    ];
    expect(new Branches(messages).view().ids).toEqual(["u", "r", "o"]);
    expect(new Branches(messages, new Set(), ({ id }) => (id === "o" ? "r" : null)).view().ids).toEqual(["u", "o"]);
  });
});

describe("appending", () => {
  it.each(cases)("$name: message by message it is the tree that is made at once", ({ messages, superseded }) => {
    const views = messages.map(messageOf).sort(byPlace);
    const counted = new Set(superseded);
    let grown = new Branches([], counted);
    let appended = 0;
    for (const [at, view] of views.entries()) {
      if (grown.append(view)) appended++;
      else grown = new Branches(views.slice(0, at + 1), counted);
      const made = new Branches(views.slice(0, at + 1), counted);
      expect(shown(grown, {}, null)).toEqual(shown(made, {}, null));
      expect(shown(grown, {}, view.id)).toEqual(shown(made, {}, view.id));
    }
    expect(appended).toBeGreaterThan(0);
  });
});
