import { expect, test, vi } from "vitest";
import { Flights, type Own } from "../src/core/flights.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import { readUpdate } from "../src/core/updates.js";
import type { OwnRow } from "../src/core/uplink.js";
import { entriesOf } from "./fake_server.js";
import { deletions, Pen, row } from "./pen.js";

vi.setConfig({ testTimeout: 30_000 });

function own(from: OwnRow): Own {
  return { ...from, facts: readUpdate(from.update), alone: false };
}

/** Flights with these rows waiting. */
function waiting(...rows: OwnRow[]): Flights {
  const flights = new Flights(DEFAULT_LIMITS);
  for (const each of rows) flights.queue(own(each));
  return flights;
}

/** All pushes of a layer that can go now. */
function all(flights: Flights, layer: "transcript" | "state" = "transcript"): Uint8Array[] {
  const updates: Uint8Array[] = [];
  for (let push = flights.next(layer); push !== null; push = flights.next(layer)) updates.push(push.update);
  return updates;
}

const rowsOf = (owns: Own[]): number[] => owns.map((each) => each.row);

test("what one tab writes goes out in one push", () => {
  const pen = new Pen(7);
  const flights = waiting(pen.message("a"), pen.message("b"), pen.message("c"));
  expect(all(flights).map(entriesOf)).toEqual([["messages/a", "messages/b", "messages/c"]]);
});

test("messages of two tabs share no push, since a merge would turn their order round; what starts nothing may", () => {
  const [low, high] = [new Pen(7), new Pen(8)];
  const messages = [low.message("a"), high.message("b"), high.message("c"), low.message("d")];
  expect(all(waiting(...messages)).map(entriesOf)).toEqual([
    ["messages/a"],
    ["messages/b", "messages/c"],
    ["messages/d"],
  ]);
  const texts = [low.append("a"), high.append("b"), low.append("c")];
  expect(all(waiting(...texts), "state")).toHaveLength(1);
});

test("rows go out in the order in which they were stored, in whichever they come", () => {
  const [low, high] = [new Pen(7), new Pen(8)];
  const [a, b, c] = [low.message("a"), high.message("b"), low.message("c")];
  expect(all(waiting(c, a, b)).flatMap(entriesOf)).toEqual(["messages/a", "messages/b", "messages/c"]);
});

test("rows between which something is missing share no push", () => {
  const pen = new Pen(7);
  const [a, , c] = [pen.message("a"), pen.message("b"), pen.message("c")];
  const updates = all(waiting(a, c));
  expect(updates).toHaveLength(2);
  for (const update of updates) expect(readUpdate(update).hole).toBe(false);
});

test("a push holds at most 256 KiB, 64 rows, and the parts that one update may have", () => {
  const pen = new Pen(7);
  const large = Array.from({ length: 3 }, (_, at) => pen.message(`l${at}`, "x".repeat(100_000)));
  expect(all(waiting(...large))).toHaveLength(2);
  const many = Array.from({ length: 65 }, (_, at) => pen.message(`m${at}`));
  expect(all(waiting(...many))).toHaveLength(2);
  const parts = Array.from({ length: 2 }, (_, each) =>
    row(
      "state",
      pen.write((doc) => {
        for (let at = 0; at < 3_000; at++) doc.getMap("ui").set(`${each}-${at}`, 1);
      }),
    ),
  );
  expect(all(waiting(...parts), "state")).toHaveLength(2);
  const gone = Array.from({ length: 2 }, (_, each) =>
    row(
      "state",
      pen.write((doc) => {
        for (let at = each; at < 3_000; at += 2) {
          doc.getMap("ui").delete(`0-${at}`);
          doc.getMap("ui").delete(`1-${at}`);
        }
      }),
    ),
  );
  const facts = gone.map((each) => readUpdate(each.update));
  expect(facts.every(({ deletions: ranges }) => ranges > 2_500 && ranges <= 5_000)).toBe(true);
  expect(all(waiting(...gone), "state")).toHaveLength(2);
});

test("a push holds at most 1,000 client ids", () => {
  expect(all(waiting(...deletions(1_002, 2).rows), "state")).toHaveLength(2);
  expect(all(waiting(...deletions(1_000, 2).rows), "state")).toHaveLength(1);
});

test("at most 16 pushes or 1 MiB are without an answer", () => {
  const pens = Array.from({ length: 20 }, (_, at) => new Pen(at + 1));
  const flights = waiting(...pens.map((pen, at) => pen.message(`m${at}`)));
  expect(all(flights)).toHaveLength(16);
  flights.ack(3);
  expect(all(flights)).toHaveLength(3);
  const large = waiting(...pens.map((pen, at) => pen.message(`l${at}`, "x".repeat(250_000))));
  expect(all(large)).toHaveLength(5);
});

test("an ack is for all pushes up to its number", () => {
  const [a, b, c] = [new Pen(1).message("a"), new Pen(2).message("b"), new Pen(3).message("c")];
  const flights = waiting(a, b, c);
  all(flights);
  expect(rowsOf(flights.ack(2))).toEqual([a.row, b.row]);
  expect(rowsOf(flights.ack(2))).toEqual([]);
  expect(rowsOf(flights.ack(9))).toEqual([c.row]);
});

test("a merge that is rejected comes back row by row, before what was stored later, and then each answers for itself", () => {
  const pen = new Pen(7);
  const [a, b] = [pen.message("a"), pen.message("b")];
  const later = new Pen(8).message("later");
  const flights = waiting(a, b);
  all(flights);
  flights.queue(own(later));
  expect(flights.reject(1)).toEqual([]);
  expect(all(flights).map(entriesOf)).toEqual([["messages/a"], ["messages/b"], ["messages/later"]]);
  expect(rowsOf(flights.reject(3))).toEqual([b.row]);
  expect(rowsOf(flights.ack(4))).toEqual([a.row, later.row]);
});

test("what was dropped neither flies nor waits, and a reject of it says nothing", () => {
  const [a, b] = [own(new Pen(1).message("a")), own(new Pen(2).message("b"))];
  const flights = new Flights(DEFAULT_LIMITS);
  flights.queue(a);
  all(flights);
  flights.queue(b);
  flights.drop(new Set([a, b]));
  expect(all(flights)).toEqual([]);
  expect(flights.reject(1)).toEqual([]);
  expect(flights.ack(1)).toEqual([]);
});

test("the age is that of the oldest push, from when time was first told", () => {
  const flights = waiting(new Pen(1).message("a"), new Pen(2).message("b"));
  expect(flights.ageMs(5)).toBe(0);
  flights.next("transcript");
  expect(flights.ageMs(10)).toBe(0);
  flights.next("transcript");
  expect(flights.ageMs(30)).toBe(20);
  flights.ack(1);
  expect(flights.ageMs(35)).toBe(5);
  flights.rejuvenate();
  expect(flights.ageMs(99)).toBe(0);
});
