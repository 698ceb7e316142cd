/** Hooks in Preact: with and without useSyncExternalStore, opening and closing, and at most one drawing a frame. */

import { h, render } from "preact";
import { useSyncExternalStore } from "preact/compat";
import { useEffect, useMemo, useState } from "preact/hooks";
import { describe, expect, it, vi } from "vitest";
import { makeHooks } from "../src/hooks.js";
import type { Hooks } from "../src/hooks.js";
import { Session } from "../src/session.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryRun } from "./memory_agent.js";
import { MemoryServer } from "./memory_server.js";

vi.setConfig({ testTimeout: 30_000 });

const RUNTIMES: [string, Hooks][] = [
  ["the core's hooks alone", makeHooks({ useState, useEffect, useMemo })],
  ["useSyncExternalStore", makeHooks({ useState, useEffect, useMemo, useSyncExternalStore })],
];

/** When `look` no longer throws; a machine may be busy. */
const soon = (look: () => void): Promise<void> => vi.waitFor(look, { timeout: 10_000 });

/** Draw `look` as a component without a screen; returns what it returned, each time. */
function draw<T>(look: () => T): { drawn: T[]; end: () => void } {
  const drawn: T[] = [];
  const root = { childNodes: [], firstChild: null, nodeType: 1, contains: () => true, insertBefore: () => {} };
  const Component = () => {
    drawn.push(look());
    return null;
  };
  render(h(Component, null), root as unknown as Element);
  return { drawn, end: () => render(null, root as unknown as Element) };
}

async function open(subject = "user:mona", server = new MemoryServer()): Promise<Session> {
  return Promise.resolve(new Session(new MemoryReplica(server, subject).connect()));
}

describe.each(RUNTIMES)("with %s", (_, { useSession, useView, usePresence, useRun, useRead }) => {
  it("a session is opened while the component is there, and closed after it", async () => {
    const session = await open();
    const close = vi.spyOn(session, "close");
    const client = { open: () => Promise.resolve(session) };
    const { drawn, end } = draw(() => useSession(client, "trip"));
    await soon(() => expect(drawn.at(-1)).toEqual({ session, error: null }));
    expect(drawn[0]).toEqual({ session: null, error: null });
    expect(close).not.toHaveBeenCalled();
    end();
    await soon(() => expect(close).toHaveBeenCalledTimes(1));
  });

  it("anything that says when it changed is read, and drawn again when it is another", async () => {
    const listeners = new Set<() => void>();
    const source = {
      value: 1,
      subscribe: (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    const { drawn, end } = draw(() => useRead(source, ({ value }) => value));
    await soon(() => expect(listeners.size).toBe(1));
    for (const value of [1, 2]) {
      source.value = value;
      for (const listener of listeners) listener();
      await soon(() => expect(drawn.at(-1)).toBe(value));
    }
    expect(drawn).toEqual([1, 2]);
    end();
    await soon(() => expect(listeners.size).toBe(0));
  });

  it("an error of opening is shown", async () => {
    const client = { open: () => Promise.reject(new Error("no store")) };
    const { drawn } = draw(() => useSession(client, "trip"));
    await soon(() => expect(drawn.at(-1)?.error).toEqual(new Error("no store")));
  });

  it("a view draws what comes, once for many changes of one frame", async () => {
    const session = await open();
    const subscribe = vi.spyOn(session, "subscribe");
    const { drawn, end } = draw(() => useView(session, { page: 2 }).items.map((item) => item.message.text));
    expect(drawn).toEqual([[]]);
    await soon(() => expect(subscribe).toHaveBeenCalled());
    for (const text of ["a", "b", "c"]) await session.post(text);
    await soon(() => expect(drawn.at(-1)).toEqual(["b", "c"]));
    expect(drawn.length).toBeLessThanOrEqual(3);
    end();
  });

  it("what changed between the first drawing and the subscription is drawn", async () => {
    const session = await open();
    const { drawn } = draw(() => useView(session).items.length);
    await session.post("at once");
    await soon(() => expect(drawn.at(-1)).toBe(1));
  });

  it("presence, a run and anything else that is read are drawn again when they are another", async () => {
    const server = new MemoryServer();
    const session = await open("user:mona", server);
    const { drawn } = draw(() => ({
      here: usePresence(session).map((entry) => entry.subject),
      run: useRun(session, "r")?.status ?? null,
      link: useRead(session, (read) => read.status).link,
    }));
    const agent = new MemoryReplica(server, "agent:planner").connect();
    const run = new MemoryRun(agent, "r");
    await soon(() => expect(drawn.at(-1)).toEqual({ here: ["agent:planner"], run: "running", link: "live" }));
    run.end();
    agent.disconnect();
    await soon(() => expect(drawn.at(-1)).toMatchObject({ here: [], run: "running" }));
    agent.connect();
    await soon(() => expect(drawn.at(-1)).toMatchObject({ run: "completed" }));
  });
});

describe("frames", () => {
  it("one frame is asked for, whatever changes before it, and all listeners are told in it", async () => {
    const frames: (() => void)[] = [];
    vi.stubGlobal("document", { hidden: false });
    vi.stubGlobal("requestAnimationFrame", (frame: () => void) => frames.push(frame));
    const session = await open();
    const listeners = [vi.fn(), vi.fn()];
    const ends: (() => void)[] = [];
    const { useRead } = makeHooks({
      useState: () => [undefined as never, () => {}],
      useEffect: () => {},
      useMemo: (make) => make(),
      useSyncExternalStore: (subscribe, read) => {
        ends.push(...listeners.map((listener) => subscribe(listener)));
        return read();
      },
    });
    expect(useRead(session, (read) => read.messages().length)).toBe(0);
    for (const text of ["a", "b", "c"]) await session.post(text);
    await session.synced();
    expect([frames.length, listeners[0]!.mock.calls.length]).toEqual([1, 0]);
    frames.shift()!();
    expect(listeners.map((listener) => listener.mock.calls.length)).toEqual([1, 1]);
    for (const end of ends) end();
    await session.post("d");
    await session.synced();
    expect(frames.length).toBeLessThanOrEqual(1); // For what came before they left.
    frames.shift()?.();
    expect(listeners[0]!.mock.calls.length).toBe(1);
    vi.unstubAllGlobals();
  });
});
