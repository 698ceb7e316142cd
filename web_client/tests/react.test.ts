/** Hooks in React itself, on as much of a page as it asks for where nothing is drawn. */

import { beforeAll, describe, expect, it, vi } from "vitest";
import { makeHooks } from "../src/hooks.js";
import type { HookRuntime, Source } from "../src/hooks.js";
import { Session } from "../src/session.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryServer } from "./memory_server.js";

/** Of React, whose types are not installed, what is used here. */
interface React extends HookRuntime {
  readonly StrictMode: object;
  createElement(type: unknown, props: null, ...children: unknown[]): object;
}
interface ReactDom {
  createRoot(
    root: unknown,
    options: { onUncaughtError: (error: unknown) => void },
  ): { render(element: object): void; unmount(): void };
}

const named = (name: string): Promise<unknown> => import(name);
const soon = (look: () => void): Promise<void> => vi.waitFor(look, { timeout: 10_000 });

beforeAll(() => {
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("HTMLIFrameElement", class {});
});

/** Draw what `look` reads; returns what it was each time, and what React threw. */
async function draw<T>(look: (hooks: ReturnType<typeof makeHooks>) => T, strict: boolean) {
  const React = (await named("react")) as React;
  const { createRoot } = (await named("react-dom/client")) as ReactDom;
  const heard = { addEventListener: () => {} };
  const page = { ...heard, nodeType: 9, activeElement: null };
  const place = {
    ...heard,
    nodeType: 1,
    tagName: "DIV",
    namespaceURI: "http://www.w3.org/1999/xhtml",
    ownerDocument: page,
  };
  const [drawn, errors]: [T[], unknown[]] = [[], []];
  const root = createRoot(place, { onUncaughtError: (error) => errors.push(error) });
  const hooks = makeHooks(React);
  const Component = () => {
    drawn.push(look(hooks));
    return null;
  };
  const element = React.createElement(Component, null);
  root.render(strict ? React.createElement(React.StrictMode, null, element) : element);
  await soon(() => expect(drawn.length + errors.length).toBeGreaterThan(0));
  return { drawn, errors, root };
}

describe.each([false, true])("strict: %s", (strict) => {
  const READS: Record<string, (session: Session) => unknown> = {
    status: (session) => session.status,
    approvals: (session) => session.approvals(),
    history: (session) => session.history(),
    summary: (session) => session.summary(),
    "messages of a run that is none": (session) => session.messagesOf("none"),
    "the shared state": (session) => session.state.json(),
    "what can be undone": (session) => session.state.can,
    "something made for it": (session) => session.messages().map(({ text }) => text),
  };
  it.each(Object.entries(READS))("%s is drawn, and drawn again after a change, a few times in all", async (_, read) => {
    const session = new Session(new MemoryReplica(new MemoryServer(), "user:mona").connect());
    const look = (now: Session) => ({ value: read(now), count: now.messages().length });
    const { drawn, errors, root } = await draw(
      ({ useRead }) => ({ value: useRead(session, read), seen: useRead(session, look) }),
      strict,
    );
    await session.post("hello");
    await soon(() => expect(drawn.at(-1)?.seen.count).toBe(1));
    expect(drawn.at(-1)?.value).toEqual(read(session));
    expect(errors).toEqual([]);
    expect(drawn.length).toBeLessThan(12);
    root.unmount();
  });

  it("what changed between the first drawing and the subscription is drawn", async () => {
    const listeners = new Set<() => void>();
    const source = {
      values: ["before"],
      subscribe: (listener: () => void) => {
        source.values = ["meanwhile"]; // And nobody was told.
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    } satisfies Source & { values: string[] };
    const { drawn, errors, root } = await draw(({ useRead }) => useRead(source, ({ values }) => [...values]), strict);
    await soon(() => expect(drawn.at(-1)).toEqual(["meanwhile"]));
    source.values = ["after"];
    for (const listener of listeners) listener();
    await soon(() => expect(drawn.at(-1)).toEqual(["after"]));
    expect(errors).toEqual([]);
    root.unmount();
  });
});
