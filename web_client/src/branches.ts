/**
 * Branches: the tree that messages make by `parent` and `fork_of`, and what a reader sees of it. PROTOCOL 5.2.
 *
 * Knows nothing of documents, runs or of who reads; which branch somebody looks at comes in as an argument.
 */

import type { MessageView } from "./transcript.js";

/** Metadata of a request for another answer: the id of the answer it wants replaced. */
export const REGENERATE = "regenerate";

/**
 * One visible message, and which of its alternatives it is: `index` of `count`, from 1.
 *
 * `siblings` are the ids of all alternatives in their order, this message's own among them. `group` names the slot that
 * they share: the id of the first, whichever is shown.
 */
export interface BranchItem {
  readonly message: MessageView;
  readonly group: string;
  readonly index: number;
  readonly count: number;
  readonly siblings: readonly string[];
}

/** Ids of groups to ids of the messages that were selected in them. */
export type Selection = { readonly [group: string]: string };

/**
 * The tree of a list of messages, which must be in the agreed order.
 *
 * 1. It depends on the messages alone: every device that has them has this tree.
 * 2. A link counts if it names a message that stands before in the agreed order, so there are no cycles; any other is as
 *    if it were not there.
 * 3. Every message is in exactly one group, and visible in some view unless another stands for it or superseded it.
 * 4. Time is linear in the messages, sorting aside; nothing recurses.
 */
export class Branches {
  #views = new Map<string, MessageView>();
  #ranks = new Map<string, number>();
  /** Group to the message it follows, to the rank of its first member, and, of those with forks, to its members. */
  #under = new Map<string, string | null>();
  #place = new Map<string, number>();
  #forks = new Map<string, string[]>();
  /** Message to its group, and to the member it is shown as: an answer to a request is the request's. */
  #group = new Map<string, string>();
  #member = new Map<string, string>();
  /** Request to the answer that stands for it. */
  #answer = new Map<string, string>();
  /** Request and attempt of the answers that are shown, or would be. */
  #attempts = new Set<string>();
  readonly #superseded: ReadonlySet<string>;
  #last: string | null = null;

  /**
   * `superseded`: ids of output that no longer counts; it keeps its place and is not shown. `answers`: which message a
   * message was made for by whoever was given that; null for one that was not.
   */
  constructor(
    messages: readonly MessageView[],
    superseded: ReadonlySet<string> = new Set(),
    private readonly answers: (message: MessageView) => string | null | undefined = () => null,
  ) {
    this.#superseded = superseded;
    for (const view of messages) {
      this.#ranks.set(view.id, this.#views.size);
      this.#views.set(view.id, view);
    }
    for (const view of messages) this.#add(view);
  }

  /** How many messages it holds. */
  get size(): number {
    return this.#views.size;
  }

  /** Take a message that stands behind all others; whether that could be done without making the tree anew. */
  append(view: MessageView): boolean {
    // Alternatives to a message that is gone, which is there after all, and behind them: they were none.
    if (this.#under.has(view.id) || this.#views.has(view.id)) return false;
    this.#ranks.set(view.id, this.#views.size);
    this.#views.set(view.id, view);
    this.#add(view);
    return true;
  }

  /** Whether `message` has alternatives, or stands for a request. */
  forked(message: string): boolean {
    const group = this.#group.get(message);
    return group !== message || this.#forks.has(group);
  }

  /**
   * Ids of what a reader sees, oldest first, who selected, of some groups, another message than the newest.
   *
   * What names nothing here is ignored. `leaf` is made visible whatever was selected on the way to it. What is written
   * next is visible if it follows one of `seen`.
   */
  view(selected: Selection = {}, leaf: string | null = null): { ids: string[]; seen: Set<string> } {
    const chosen = leaf === null ? selected : { ...selected, ...Object.fromEntries(this.line(leaf)) };
    const choice = new Map<string, string | null>();
    for (const group of this.#forks.keys()) choice.set(group, this.choice(group, chosen));
    const seen = new Set<string>();
    const ids: string[] = [];
    for (const [id, group] of this.#group) {
      const above = this.#under.get(group) ?? null;
      if (above !== null && !seen.has(above)) continue;
      if (choice.has(group) && choice.get(group) !== this.#member.get(id)) continue;
      seen.add(id);
      if (!this.#superseded.has(id) && !this.#answer.has(id)) ids.push(id);
    }
    // Without forks they are in order already.
    if (choice.size > 0 || this.#answer.size > 0) ids.sort((one, other) => this.slot(one)! - this.slot(other)!);
    return { ids, seen };
  }

  /** A message and which of its alternatives it is, null if there is none of that id. */
  item(message: string): BranchItem | null {
    const view = this.#views.get(message);
    if (view === undefined) return null;
    const [group, member] = [this.#group.get(message)!, this.#member.get(message)!];
    if (!this.#forks.has(group) || (this.#answer.get(member) ?? member) !== message) {
      return { message: view, group, index: 1, count: 1, siblings: [message] };
    }
    const siblings = this.siblings(message);
    return { message: view, group, index: siblings.indexOf(message) + 1, count: siblings.length, siblings };
  }

  /** The selection that makes `message` visible: its own group first, then those above it. Empty without it. */
  line(message: string): Map<string, string> {
    const found = new Map<string, string>();
    for (let at: string | null = this.#group.has(message) ? message : null; at !== null;) {
      const group: string = this.#group.get(at)!;
      found.set(group, this.#member.get(at)!);
      at = this.#under.get(group) ?? null;
    }
    return found;
  }

  /** Which member of `group` is visible: the selected one, else the newest. Null without such a group. */
  choice(group: string, selected: Selection): string | null {
    const wanted = Object.hasOwn(selected, group) ? selected[group] : undefined;
    if (wanted !== undefined && this.#group.get(wanted) === group) return this.#member.get(wanted)!;
    const members = this.#members(group);
    return members.findLast((id) => this.#counts(id)) ?? members.at(-1) ?? null;
  }

  /** The ids of all alternatives to `message`, it among them, in their order; empty without it. */
  siblings(message: string): readonly string[] {
    const group = this.#group.get(message);
    if (group === undefined) return [];
    const members = this.#members(group).filter((id) => this.#counts(id));
    return members.map((id) => this.#answer.get(id) ?? id);
  }

  /** The message that `message` and its alternatives follow; null for the first, or without it. */
  parentOf(message: string): string | null {
    const group = this.#group.get(message);
    return group === undefined ? null : (this.#under.get(group) ?? null);
  }

  /** The slot that `message` is shown in: views are in the order of slots. Null without it. */
  slot(message: string): number | null {
    const member = this.#member.get(message);
    if (member === undefined) return null;
    if (member !== message && this.#answer.get(member) !== message) {
      return this.#ranks.get(message)!; // A further answer to a request stands where it was written.
    }
    // At the first of the alternatives: selecting another one moves nothing.
    return this.#place.get(this.#group.get(message)!)!;
  }

  #add(view: MessageView): void {
    const request = this.#requestOf(view);
    const attempt = request === null ? "" : `${request} ${view.attempt}`;
    if (request !== null && !this.#attempts.has(attempt)) {
      this.#attempts.add(attempt);
      this.#group.set(view.id, this.#group.get(request)!);
      this.#member.set(view.id, request);
      if (!this.#superseded.has(view.id) && !this.#answer.has(request)) this.#answer.set(request, view.id);
    } else this.#join(view, this.#last);
    this.#last = view.id;
  }

  /** The request that a message answers, in whose place it is shown. */
  #requestOf(view: MessageView): string | null {
    if (view.role !== "assistant" || view.parent === null || !this.#isBefore(view.parent, view.id)) return null;
    const request = this.#views.get(view.parent)!;
    // An alternative to another answer of the same request is no answer to it.
    if (!isRequest(request) || (view.forkOf !== null && view.forkOf !== request.forkOf)) return null;
    // Nor is what somebody wrote who was not asked. What has no receipt is of this device.
    const asked = view.by === null || request.to.includes(view.by) || this.answers(view) === request.id;
    return asked ? request.id : null;
  }

  /** Put a message into the group of what it is an alternative to, or into one of its own. */
  #join(view: MessageView, before: string | null): void {
    const [id, forkOf] = [view.id, view.forkOf];
    let group = id;
    // Invariant 2. Alternatives to a message that is gone are still alternatives to each other.
    if (forkOf !== null && (!this.#views.has(forkOf) || this.#isBefore(forkOf, id))) {
      group = this.#group.get(forkOf) ?? forkOf;
    }
    if (!this.#under.has(group)) {
      this.#under.set(group, view.parent !== null && this.#isBefore(view.parent, id) ? view.parent : before);
      this.#place.set(group, this.#ranks.get(id)!);
    }
    if (group !== id) {
      const members = this.#forks.get(group);
      if (members === undefined) this.#forks.set(group, this.#views.has(group) ? [group, id] : [id]);
      else members.push(id);
    }
    this.#group.set(id, group);
    this.#member.set(id, id);
  }

  #isBefore(message: string, other: string): boolean {
    const rank = this.#ranks.get(message);
    return rank !== undefined && rank < this.#ranks.get(other)!;
  }

  #members(group: string): readonly string[] {
    return this.#forks.get(group) ?? (this.#under.has(group) ? [group] : []);
  }

  #counts(member: string): boolean {
    return this.#answer.has(member) || !this.#superseded.has(member);
  }
}

/** Whether a message only asks for another answer in place of one: it holds nothing itself. */
export function isRequest(view: MessageView): boolean {
  return view.role === "system" && typeof view.metadata[REGENERATE] === "string";
}
