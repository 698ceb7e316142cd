/** Attending over a session that is a stand-in: what the page is told when time alone changes who is there. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Attending, Attention } from "../src/attending.js";
import type { AttendedSession } from "../src/attending.js";
import type { Json, PresenceEntry } from "../src/core/messages.js";

function says(name: string, state: Json): PresenceEntry {
  return { peer: name, subject: `user:${name}`, name, kind: "user", device: "laptop", state };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

it("tells of everybody who is gone, also of those who left while somebody's grace ran", () => {
  const there = [says("ann", { activity: "active" }), says("bob", { activity: "active" })];
  const session: AttendedSession = {
    subject: "user:me",
    presence: { mine: {}, update: () => {}, everyone: () => there },
    runs: () => [],
  };
  let shown: string[] = [];
  const attending: Attending = new Attending(session, new Attention(), true, () => {
    shown = attending.people().map(({ subject, status }) => `${subject} ${status}`);
  });
  attending.take([says("ann", null)]);
  vi.advanceTimersByTime(5_000);
  attending.take([says("bob", null)]);
  vi.advanceTimersByTime(5_001);
  expect(shown).toEqual(["user:bob active", "user:me away"]);
  vi.advanceTimersByTime(5_001);
  expect(shown).toEqual(["user:me away"]);
  expect(vi.getTimerCount()).toBe(0);
  attending.close();
});
