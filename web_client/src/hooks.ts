/**
 * Hooks: sessions in components of React, Preact and their like, drawn at most once an animation frame.
 *
 * Made on the hooks that the caller brings, so that nothing here depends on one of them.
 */

import type { BranchItem } from "./branches.js";
import type { PresenceEntry } from "./core/messages.js";
import type { RunView } from "./runs.js";
import type { Session } from "./session.js";
import type { View, ViewOptions } from "./view.js";

/** The hooks of your framework: `makeHooks(React)`, or `makeHooks({ useState, useEffect, useMemo })` of Preact. */
export interface HookRuntime {
  useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
  useEffect(effect: () => void | (() => void), deps: readonly unknown[]): void;
  useMemo<T>(make: () => T, deps: readonly unknown[]): T;
  useSyncExternalStore?<T>(subscribe: (onChange: () => void) => () => void, read: () => T): T;
}

/** What `useSession` needs: a `Client`. */
export interface Opener {
  open(session: string): Promise<Session>;
}

/** A session that is being opened: both null; open: `session`; or not to be opened, and why. */
export interface Opened {
  readonly session: Session | null;
  readonly error: unknown;
}

/** What calls back after it changed: a session, a view, a client. */
export interface Source {
  subscribe(listener: () => void): () => void;
}

export interface Hooks {
  /** Open a session while a component is there. Draws again when it is open, not with what changes in it. */
  useSession(client: Opener, id: string): Opened;
  /** A view of a session, and what it shows now. `options` count when the session is another. */
  useView(session: Session | null, options?: ViewOptions): { view: View | null; items: readonly BranchItem[] };
  /** Everybody else who is here. */
  usePresence(session: Session | null): readonly PresenceEntry[];
  /** One run, null while there is none of that id. */
  useRun(session: Session | null, run: string): RunView | null;
  /**
   * Anything that `read` finds in a session, drawn again when it is another: `useRead(session, (s) => s.status)`. Just
   * so of a view, of a client, or of anything else that has a `subscribe`.
   *
   * It is read once for each drawing and each change, so `read` may make its value: that is another then, and drawn.
   */
  useRead<S extends Source, T>(source: S, read: (source: S) => T): T;
}

/** Make the hooks. */
export function makeHooks(runtime: HookRuntime): Hooks {
  const { useState, useEffect, useMemo } = runtime;
  const useSource = sourceHook(runtime);

  function useSession(client: Opener, id: string): Opened {
    const [opened, setOpened] = useState<Opened>(NOTHING);
    useEffect(() => {
      let gone = false;
      const opening = client.open(id);
      opening.then(
        (session) => gone || setOpened({ session, error: null }),
        (error: unknown) => gone || setOpened({ session: null, error }),
      );
      return () => {
        gone = true;
        setOpened(NOTHING);
        opening.then(
          (session) => session.close(),
          () => {}, // Told above.
        );
      };
    }, [client, id]);
    return opened;
  }

  function useView(session: Session | null, options?: ViewOptions): ReturnType<Hooks["useView"]> {
    const view = useMemo(() => session?.view(options) ?? null, [session]);
    return { view, items: useSource(view, (source) => source.items, NO_ITEMS) };
  }

  return {
    useSession,
    useView,
    usePresence: (session) => useSource(session, (source) => source.presence.everyone(), NOBODY),
    useRun: (session, run) => useSource(session, (source) => source.run(run), null),
    useRead: makeRead(runtime),
  };
}

/** Make `useRead` alone: a third of the others. */
export function makeRead(runtime: HookRuntime): Hooks["useRead"] {
  const useSource = sourceHook(runtime);
  return <S extends Source, T>(source: S, read: (source: S) => T) => useSource(source, read, null as T);
}

/** What `read` finds in a source, drawn again when it is another; `none` without a source. */
function sourceHook(runtime: HookRuntime) {
  const useStore = runtime.useSyncExternalStore ?? storeHook(runtime);
  return <S extends Source, T>(source: S | null, read: (source: S) => T, none: T): T => {
    const frames = source && framesOf(source);
    let [value, version] = [none, -1];
    return useStore(frames?.subscribe ?? never, () => {
      // Asked again with nothing changed, a framework must get the same object, or it draws for ever.
      const now = frames?.now() ?? version;
      if (now !== version) [version, value] = [now, read(source as S)];
      return value;
    });
  };
}

const NOTHING: Opened = { session: null, error: null };
const NO_ITEMS: readonly BranchItem[] = [];
const NOBODY: readonly PresenceEntry[] = [];
const never = () => () => {};

/** `useSyncExternalStore` for a framework whose core has none. */
function storeHook({ useState, useEffect }: HookRuntime): NonNullable<HookRuntime["useSyncExternalStore"]> {
  return <T>(subscribe: (onChange: () => void) => () => void, read: () => T): T => {
    const [, draw] = useState(0);
    const [last] = useState<{ read: () => T; value: T }>(() => ({ read, value: read() }));
    last.read = read;
    last.value = read();
    useEffect(() => {
      const look = () => {
        if (!Object.is(last.read(), last.value)) draw((count) => count + 1);
      };
      look(); // What changed between drawing and now.
      return subscribe(look);
    }, [subscribe]);
    return last.value;
  };
}

const frames = new WeakMap<Source, Frames>();

function framesOf(source: Source): Frames {
  let found = frames.get(source);
  if (found === undefined) frames.set(source, (found = new Frames(source)));
  return found;
}

/** Tells the listeners of one source at most once a frame. */
class Frames {
  #listeners = new Set<() => void>();
  #end: (() => void) | null = null;
  #waits = false;
  /** Moves with every change of the source; and by itself while nobody listens, since none is told then. */
  #version = 0;

  constructor(private readonly source: Source) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    const entry = () => listener();
    this.#listeners.add(entry);
    if (this.#end === null) this.#version++;
    this.#end ??= this.source.subscribe(() => this.#soon());
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size > 0) return;
      this.#end?.();
      this.#end = null;
    };
  };

  /** While it is the same, so is all that is read of the source. */
  now(): number {
    if (this.#end === null) queueMicrotask(() => this.#version++);
    return this.#version;
  }

  #soon(): void {
    this.#version++;
    if (this.#waits) return;
    this.#waits = true;
    // A hidden page has no frames, and yet a title that says how much is unread.
    if (typeof document !== "undefined" && !document.hidden) requestAnimationFrame(() => this.#tell());
    else setTimeout(() => this.#tell(), 100);
  }

  #tell(): void {
    this.#waits = false;
    for (const listener of this.#listeners) listener();
  }
}
