/**
 * View: one person's look at a session's branches: which alternatives are shown, and from where on.
 *
 * Knows nothing of documents or of the network; the tree itself is in `branches`.
 */

import { Branches } from "./branches.js";
import type { BranchItem, Selection } from "./branches.js";
import { LocalProtocolError } from "./core/errors.js";
import type { Message, PostOptions } from "./posted.js";
import type { RunView } from "./runs.js";
import type { MessageView } from "./transcript.js";

/** What a view needs of its session. */
export interface ViewHost {
  messages(): readonly MessageView[];
  message(id: string): MessageView | null;
  superseded(message: MessageView): boolean;
  outputOf(message: MessageView): RunView | null;
  /** Another number when the tree of the messages that were there may be another: see `Transcript`. */
  readonly shape: number;
  /** Another number when it may be another output that counts: see `Runs`. */
  readonly spans: number;
  subscribe(listener: () => void): () => void;
  post(text: string, options?: PostOptions): Promise<Message>;
  edit(message: string, text: string, options?: { to?: readonly string[] }): Promise<Message>;
  regenerate(message: string, options?: { to?: string }): Promise<Message>;
}

export interface ViewOptions {
  /** How many messages it shows at first, 50 unless said. */
  readonly page?: number;
  /** What `View.selected` was at another time. */
  readonly selected?: Selection;
}

/**
 * What one person sees of a session. Get it from `Session.view`; read `items` again when something changed.
 *
 * 1. It shows everything from where it begins to the live end, at least the newest `page`.
 * 2. What was selected stays selected, whatever comes; where nothing was, the newest alternative is shown.
 * 3. Selecting moves no message to another place.
 * 4. Items, and the array of them, are the same objects until they changed.
 */
export class View {
  readonly #session: ViewHost;
  readonly #pageSize: number;
  readonly #listeners = new Set<() => void>();
  #selected: Selection;
  #branches = new Branches([]);
  #shape = -1;
  #spans = -1;
  #superseded: ReadonlySet<string> = new Set();
  /** What is visible; null to be found out. `seen` is `Branches.view`'s. */
  #layout: { ids: string[]; seen: Set<string> } | null = null;
  /** The message that `older` revealed down to, null while only the newest page is shown. */
  #begin: string | null = null;
  #revealing: Promise<BranchItem[]> | null = null;
  #items: readonly BranchItem[] = [];

  constructor(session: ViewHost, { page = 50, selected = {} }: ViewOptions = {}) {
    if (!(page >= 1)) throw new LocalProtocolError("a page holds at least one message");
    this.#session = session;
    this.#pageSize = page;
    this.#selected = { ...selected };
  }

  // Reading

  /** The visible messages as they are now, oldest first, each with its `index` of `count` and its `siblings`. */
  get items(): readonly BranchItem[] {
    const ids = this.#all();
    const known = new Map(this.#items.map((item) => [item.message.id, item]));
    const items = this.#page(ids, this.#start(ids), ids.length).map((item) => {
      const before = known.get(item.message.id);
      return before !== undefined && sameItem(before, item) ? before : item;
    });
    const same = items.length === this.#items.length && items.every((item, at) => item === this.#items[at]);
    if (!same) this.#items = items; // Invariant 4.
    return this.#items;
  }

  /** How many more `older` can reveal. */
  get olderCount(): number {
    return this.#start(this.#all());
  }

  /** What was selected, as JSON: give it to `Session.view` to see the same again. */
  get selected(): Selection {
    return this.#selected;
  }

  /** Call `listener` when something may be shown otherwise: at most once a microtask. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    const entry = () => listener();
    this.#listeners.add(entry);
    const end = this.#session.subscribe(entry);
    return () => {
      this.#listeners.delete(entry);
      end();
    };
  }

  /**
   * Reveal `n` older messages, or as many as there are; returns them, oldest first.
   *
   * Called again before it returned, as by a list that is scrolled, it acts once and returns the same to both.
   */
  older(n = 50): Promise<readonly BranchItem[]> {
    if (!(n >= 0)) throw new LocalProtocolError("older than what is shown: n is 0 or more");
    this.#revealing ??= Promise.resolve().then(() => this.#reveal(n));
    return this.#revealing;
  }

  // Selecting

  /** Show `message` in place of its alternatives, and the branch that it is in. Throws without such a message. */
  select(message: string): void {
    this.#all();
    const line = [...this.#branches.line(message)];
    if (line.length === 0) throw new LocalProtocolError(`there is no message ${message} in this copy`);
    // Above it only what is shown otherwise is pinned: the rest goes on to show the newest.
    const pinned = line.filter(([group, id], at) => at === 0 || this.#branches.choice(group, this.#selected) !== id);
    this.#selected = { ...this.#selected, ...Object.fromEntries(pinned) };
    this.#layout = null;
    this.#tell();
  }

  /** Show the alternative after `message`, which stays if it is the last; returns the id of what is shown. */
  next(message: string): string {
    return this.#step(message, 1);
  }

  /** Show the alternative before `message`, which stays if it is the first; returns the id of what is shown. */
  previous(message: string): string {
    return this.#step(message, -1);
  }

  // Writing into the branch that is shown

  /** Write a message that follows the last one shown here. Otherwise as `Session.post`. */
  async post(text: string, options: PostOptions = {}): Promise<Message> {
    return this.#session.post(text, { parent: this.#all().at(-1) ?? null, ...options });
  }

  /** As `Session.edit`, and show the new one here. */
  async edit(message: string, text: string, options?: { to?: readonly string[] }): Promise<Message> {
    return this.#show(await this.#session.edit(message, text, options));
  }

  /** As `Session.regenerate`, and show here the answer that will come. */
  async regenerate(message: string, options?: { to?: string }): Promise<Message> {
    return this.#show(await this.#session.regenerate(message, options));
  }

  // Inside

  #show(posted: Message): Message {
    this.select(posted.id);
    return posted;
  }

  #step(message: string, by: number): string {
    this.#all();
    const siblings = this.#branches.siblings(message);
    const at = siblings.indexOf(message);
    if (at < 0) throw new LocalProtocolError(`message ${message} is not among those shown: take the id from an item`);
    const there = siblings[Math.max(0, Math.min(at + by, siblings.length - 1))]!;
    this.select(there);
    return there;
  }

  /** Ids of all that is visible. */
  #all(): readonly string[] {
    const messages = this.#session.messages();
    const { shape, spans } = this.#session;
    const recounted = spans !== this.#spans && !sameIds(this.#superseded, this.#countSuperseded(messages));
    if (shape !== this.#shape || recounted || !this.#extend(messages)) {
      this.#superseded = this.#countSuperseded(messages);
      this.#branches = new Branches(messages, this.#superseded, (view) => this.#session.outputOf(view)?.message);
      this.#layout = null;
    }
    this.#shape = shape;
    this.#spans = spans;
    this.#layout ??= this.#branches.view(this.#selected);
    return this.#layout.ids;
  }

  /** Take what came behind all others, which is most of what comes; whether that could be done. */
  #extend(messages: readonly MessageView[]): boolean {
    for (const view of messages.slice(this.#branches.size)) {
      if (this.#session.superseded(view) || !this.#branches.append(view)) return false;
      const above = this.#branches.parentOf(view.id);
      if (this.#branches.forked(view.id)) this.#layout = null;
      else if (this.#layout !== null && (above === null || this.#layout.seen.has(above))) {
        this.#layout.seen.add(view.id);
        this.#layout.ids.push(view.id);
      }
    }
    return true;
  }

  #countSuperseded(messages: readonly MessageView[]): ReadonlySet<string> {
    return new Set(messages.filter((view) => this.#session.superseded(view)).map((view) => view.id));
  }

  /** The tree holds messages as they were when it was made: what they hold may have grown since. */
  #page(ids: readonly string[], start: number, end: number): BranchItem[] {
    return ids.slice(start, end).flatMap((id) => {
      const item = this.#branches.item(id);
      const message = this.#session.message(id);
      return item === null || message === null ? [] : [{ ...item, message }];
    });
  }

  #start(ids: readonly string[]): number {
    const newest = Math.max(0, ids.length - this.#pageSize);
    const begin = this.#begin === null ? null : this.#branches.slot(this.#begin);
    if (begin === null) return newest;
    // Another branch may lie before the beginning, be it entirely: a page of it is shown all the same. Invariant 1.
    let [low, high] = [0, newest];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#branches.slot(ids[middle]!)! < begin) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #reveal(n: number): BranchItem[] {
    this.#revealing = null;
    const ids = this.#all();
    const end = this.#start(ids);
    const begin = Math.max(0, end - n);
    if (begin < end) this.#begin = ids[begin]!;
    const revealed = this.#page(ids, begin, end);
    if (revealed.length > 0) this.#tell();
    return revealed;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function sameIds(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((id) => other.has(id));
}

function sameItem(one: BranchItem, other: BranchItem): boolean {
  return (
    one.message === other.message &&
    one.group === other.group &&
    one.index === other.index &&
    one.count === other.count &&
    one.siblings.every((id, at) => id === other.siblings[at])
  );
}
