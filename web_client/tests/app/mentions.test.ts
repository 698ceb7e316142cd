/** Mentions: whom a typed message addresses. */

import { expect, test } from "vitest";
import { addressed, begun, complete, known, offered } from "../../app/mentions.js";

const HERE = known(["user:mona", "agent:planner", "user:planner", "agent:critic", "server:", "user:ana-maria"]);

test("an agent takes a name that a person has too, and the server is nobody", () => {
  expect(HERE.get("planner")).toBe("agent:planner");
  expect([...HERE.values()]).not.toContain("server:");
});

test("at the beginning a name is an agent's, known or not", () => {
  expect(addressed("@planner plan Lisbon", HERE)).toEqual(["agent:planner"]);
  expect(addressed("@nobody, hello", HERE)).toEqual(["agent:nobody"]);
  expect(addressed("@planner @critic: both of you", HERE)).toEqual(["agent:planner", "agent:critic"]);
});

test("further in only those count who are known here", () => {
  expect(addressed("ask @critic and @nobody", HERE)).toEqual(["agent:critic"]);
  expect(addressed("mail me at mona@planner.example", HERE)).toEqual([]);
  expect(addressed("is @mona here?", HERE)).toEqual(["user:mona"]);
});

test("a subject in full, and one that ends a sentence", () => {
  expect(addressed("for @user:mona.", HERE)).toEqual(["user:mona"]);
  expect(addressed("ask @ana-maria.", HERE)).toEqual(["user:ana-maria"]);
  expect(addressed("@planner @planner twice", HERE)).toEqual(["agent:planner"]);
});

test("what is typed behind an @ is found at the caret alone", () => {
  expect(begun("hello @pl", 9)).toEqual({ at: 6, name: "pl" });
  expect(begun("hello @pl ", 10)).toBeNull();
  expect(begun("mona@pl", 7)).toBeNull();
  expect(begun("@", 1)).toEqual({ at: 0, name: "" });
});

test("agents are offered before people, by the beginning of their name", () => {
  expect(offered(HERE, "").map((offer) => offer.name)).toEqual(["critic", "planner", "ana-maria", "mona"]);
  expect(offered(HERE, "PL").map((offer) => offer.subject)).toEqual(["agent:planner"]);
  expect(offered(HERE, "zz")).toEqual([]);
});

test("a chosen name stands in full, and the caret behind it", () => {
  expect(complete("hello @pl", 9, "planner")).toEqual({ text: "hello @planner ", caret: 15 });
  expect(complete("@pl rest", 3, "planner")).toEqual({ text: "@planner rest", caret: 9 });
  expect(complete("nothing", 3, "planner")).toEqual({ text: "nothing", caret: 3 });
});
