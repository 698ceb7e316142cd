/**
 * Rows: the visible messages of a session as what stands below each other on the screen. Pure.
 *
 * 1. The order of messages is the agreed one. Those of one run stand together in one card, at the place of its first:
 *    those that its agent wrote. Who else names it, or one that is not there, speaks for themselves.
 * 2. A run that has said nothing yet stands at the live end; one that ended so, behind the message that it was for. One
 *    that ended and said something that is not visible is on another branch, and not shown.
 * 3. A run below another one stands in that one's card.
 */

import type { BranchItem } from "../../src/branches.js";
import { isOutput } from "../../src/runs.js";
import type { RunView } from "../../src/runs.js";
import type { MessageView } from "../../src/transcript.js";

export interface MessageRow {
  readonly kind: "message";
  readonly key: string;
  readonly item: BranchItem;
}

export interface RunRow {
  readonly kind: "run";
  readonly key: string;
  /** Null where it is not known. */
  readonly run: RunView | null;
  /** The alternatives that this answer is one of; null where there is none. */
  readonly item: BranchItem | null;
  readonly body: Row[];
}

/** Somebody else is responsible from here on. */
export interface HandoffRow {
  readonly kind: "handoff";
  readonly key: string;
  readonly by: string;
  readonly to: string;
  readonly note: string;
}

/** A new day, or where reading ended when the link did. */
export interface LineRow {
  readonly kind: "day" | "new";
  readonly key: string;
  readonly at: number;
}

export type Row = MessageRow | RunRow | HandoffRow | LineRow;

export interface Handoff extends Omit<HandoffRow, "kind" | "key"> {
  readonly id: string;
  readonly seq: number;
}

/** Whether a message only asks for another answer. PROTOCOL 5.2. */
export function isRequest(item: BranchItem): boolean {
  const { role, metadata } = item.message;
  return role === "system" && typeof metadata?.["regenerate"] === "string";
}

/**
 * The rows of `items`. `newBehind`: the place behind which everything came while this device was away, null where
 * nothing did. `spoke`: whether a run said anything, on whichever branch.
 */
export function rowsOf(
  items: readonly BranchItem[],
  runs: readonly RunView[],
  handoffs: readonly Handoff[] = [],
  newBehind: number | null = null,
  spoke: (run: string) => boolean = () => false,
): Row[] {
  return new Layout(items, runs, handoffs, newBehind, spoke).rows();
}

/**
 * Whether a row is as it was and nothing else can change how it looks: it is no run that goes on, and no message with a
 * tool call, which decisions change.
 */
export function settled(before: Row, now: Row): boolean {
  if (before.kind === "message" && now.kind === "message") {
    return before.item === now.item && !now.item.message.parts.some((part) => part.type === "tool");
  }
  if (before.kind !== "run" || now.kind !== "run") return before.key === now.key;
  if (!now.run?.ended || before.run !== now.run || before.item !== now.item || before.body.length !== now.body.length) {
    return false;
  }
  return now.body.every((row, at) => {
    const old = before.body[at]!;
    return row.kind === "message" ? old.kind === "message" && old.item === row.item : settled(old, row);
  });
}

class Layout {
  private readonly top: Row[] = [];
  private readonly cards = new Map<string, RunRow>();
  private readonly views: ReadonlyMap<string, RunView>;
  private readonly silent = new Map<string, RunView[]>();
  private readonly talking = new Set<string>();
  private handoff = 0;
  private day = "";
  private marked: boolean;

  constructor(
    private readonly items: readonly BranchItem[],
    private readonly runs: readonly RunView[],
    private readonly handoffs: readonly Handoff[],
    private readonly newBehind: number | null,
    private readonly spoke: (run: string) => boolean,
  ) {
    this.views = new Map(runs.map((run) => [run.id, run]));
    this.marked = newBehind === null;
  }

  rows(): Row[] {
    for (const { message } of this.items) if (this.isOutput(message)) this.talking.add(message.run);
    for (const run of this.runs) {
      if (!run.message || this.talking.has(run.id)) continue;
      const others = this.silent.get(run.message);
      if (run.ended && this.spoke(run.id)) continue; // Invariant 2.
      if (others) others.push(run);
      else this.silent.set(run.message, [run]);
    }
    for (const item of this.items) this.add(item);
    this.handOver(Infinity);
    for (const item of this.items) this.addSilent(item, false); // Invariant 2.
    for (const run of this.runs) if (!run.message && !run.ended && !this.talking.has(run.id)) this.card(run.id, null);
    return this.top;
  }

  private add(item: BranchItem): void {
    const { message } = item;
    this.handOver(message.seq ?? Infinity);
    this.mark(item);
    if (this.isOutput(message)) {
      const card = this.card(message.run, item);
      card.body.push({ kind: "message", key: message.id, item });
    } else if (!isRequest(item) || !this.silent.has(message.id)) {
      this.top.push({ kind: "message", key: message.id, item });
    }
    this.addSilent(item, true);
  }

  /** Invariant 1. */
  private isOutput(message: MessageView): message is MessageView & { readonly run: string } {
    const run = message.run && this.views.get(message.run);
    return !!run && isOutput(message, run);
  }

  private addSilent(item: BranchItem, ended: boolean): void {
    const counted = isRequest(item) ? item : null;
    for (const run of this.silent.get(item.message.id) ?? []) if (run.ended === ended) this.card(run.id, counted);
  }

  /** The card of a run, made at the end of what there is so far. */
  private card(id: string, item: BranchItem | null): RunRow {
    const there = this.cards.get(id);
    if (there) return there;
    const run = this.views.get(id) ?? null;
    const made: RunRow = { kind: "run", key: `run:${id}`, run, item, body: [] };
    this.cards.set(id, made);
    const parent = run?.parentRun ? this.views.get(run.parentRun) : undefined;
    // Invariant 3. A parent that is not shown here, as on a page before, does not hide what is below it.
    const shown = parent && (this.talking.has(parent.id) || this.cards.has(parent.id));
    (shown ? this.card(parent.id, null).body : this.top).push(made);
    return made;
  }

  private mark(item: BranchItem): void {
    const at = item.message.receipt?.at ?? item.message.createdAt;
    const day = new Date(at).toDateString();
    if (day !== this.day) {
      if (this.day) this.top.push({ kind: "day", key: `day:${day}`, at });
      this.day = day;
    }
    if (!this.marked && (item.message.seq ?? 0) > this.newBehind!) {
      this.marked = true;
      this.top.push({ kind: "new", key: "new", at });
    }
  }

  private handOver(before: number): void {
    for (let next; (next = this.handoffs[this.handoff]) && next.seq < before; this.handoff++) {
      const { id, by, to, note } = next;
      // Those from before the page that is shown are not of interest here.
      if (this.top.length) this.top.push({ kind: "handoff", key: `handoff:${id}`, by, to, note });
    }
  }
}
