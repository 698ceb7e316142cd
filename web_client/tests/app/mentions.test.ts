/** Mentions: whom a typed message addresses. */

import { expect, test } from "vitest";
import { addressed, known, subjectOf } from "../../app/composer/mentions.js";
import { begun, complete, offered } from "../../app/composer/offers.js";

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

/** Here with guests and others who call themselves something. */
function called(names: Record<string, string>) {
  return known(["agent:planner", "user:mona", ...Object.keys(names)], (subject) => names[subject] ?? "");
}

const ANA = "user:guest-7ed49c248720aa74f93cc62f";
const OTHER = "user:guest-91bc9c248720aa74f93cc62f";

test("somebody is named by what they call themselves, with or without capitals", () => {
  const here = called({ [ANA]: "Ana", "user:u17": "Bob O. Smith" });
  expect(addressed("@Ana are you here?", here)).toEqual([ANA]);
  expect(addressed("are you here, @ana?", here)).toEqual([ANA]);
  expect(addressed("@Bob-O-Smith and @u17", here)).toEqual(["user:u17"]);
  expect(addressed("@Planner plan", here)).toEqual(["agent:planner"]);
});

test("where several call themselves the same, that name is nobody's, and each has one that is theirs", () => {
  const here = called({ [ANA]: "Ana", [OTHER]: "ana" });
  expect(addressed("@Ana hello", here)).toEqual([]);
  expect(subjectOf("Ana", here)).toBe("");
  expect(addressed("@Ana-7ed4 and @ana-91bc", here)).toEqual([ANA, OTHER]);
  expect(offered(here, "an").map((offer) => offer.name)).toEqual(["Ana-7ed4", "ana-91bc"]);
});

test("nobody takes a name that another has in their subject by calling themselves so", () => {
  const here = called({ [ANA]: "Mona", [OTHER]: "planner" });
  expect(addressed("@mona @Mona @planner", here)).toEqual(["user:mona", "agent:planner"]);
  expect(addressed("@Mona-7ed4", here)).toEqual([ANA]);
});

test("a guest is offered by a name, once, and never by their hash", () => {
  const here = called({ [ANA]: "Ana Maria", [OTHER]: "" });
  expect(offered(here, "").map((offer) => offer.name)).toEqual(["planner", "Ana-Maria", "guest-91bc", "mona"]);
  expect(offered(here, "guest-7").map((offer) => offer.name)).toEqual([]);
  expect(addressed(`@user:${ANA.slice(5)} in full`, here)).toEqual([ANA]);
});

test("a name that nobody has is undefined, and what is no subject is nobody's", () => {
  expect(subjectOf("stranger", HERE)).toBeUndefined();
  expect(subjectOf("user: bob the builder", HERE)).toBe("");
  expect(subjectOf("user:bob", HERE)).toBe("user:bob");
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
