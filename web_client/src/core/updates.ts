/**
 * Updates: what the bytes of a Yjs update say, without a document.
 *
 * Knows nothing of who wrote one, or whether it is on the server.
 */

import * as Y from "yjs";

/** What one update holds. Clocks are of one client id; one with nothing has no entry. */
export interface Facts {
  /** The clock of each client id's first struct. */
  readonly begins: ReadonlyMap<number, number>;
  /** The clock behind each client id's last struct. */
  readonly ends: ReadonlyMap<number, number>;
  /** Up to which clock of each client id a document must be there before this fits it. See `stands`. */
  readonly needs: ReadonlyMap<number, number>;
  readonly structs: number;
  /** Ranges of deletions. */
  readonly deletions: number;
  /** Client ids, of structs or of deletions, whichever are more. */
  readonly clients: number;
  /** A message or command begins here, which gets a receipt. */
  readonly starts: boolean;
  /** The highest `seq` of the receipts it holds, 0 for none. */
  readonly seq: number;
  /** Something is missing in the middle (a Skip): no server takes that. */
  readonly hole: boolean;
}

/** Changes nothing. */
export const EMPTY_UPDATE: Uint8Array = /* @__PURE__ */ Uint8Array.of(0, 0);

/** Roots of the transcript whose entries get receipts, and the root of these. */
const STARTING = new Set<unknown>(["messages", "commands"]);
const RECEIPTS = "receipts";

/**
 * Read an update.
 *
 * @throws Error (of Yjs) if it is none.
 */
export function readUpdate(update: Uint8Array): Facts {
  const { structs, ds } = Y.decodeUpdate(update);
  const begins = new Map<number, number>();
  const ends = new Map<number, number>();
  const named = new Map<number, number>();
  let starts = false;
  let hole = false;
  let seq = 0;
  for (const struct of structs) {
    const { client, clock } = struct.id;
    if (struct instanceof Y.Skip) {
      hole = true;
      continue;
    }
    lower(begins, client, clock);
    raise(ends, client, clock + struct.length);
    if (!(struct instanceof Y.Item)) continue;
    const parent: unknown = struct.parent; // a root's name, as long as it is in no document
    for (const id of [struct.origin, struct.rightOrigin, parent]) {
      if (id instanceof Y.ID) raise(named, id.client, id.clock + 1);
    }
    if (struct.parentSub === null) continue;
    starts ||= STARTING.has(parent);
    if (parent === RECEIPTS && /^[mc]:/.test(struct.parentSub)) seq = Math.max(seq, seqOf(struct.content));
  }
  let deletions = 0;
  for (const [client, ranges] of ds.clients) {
    deletions += ranges.length;
    for (const range of ranges) raise(named, client, range.clock + range.len);
  }
  const clients = Math.max(begins.size, ds.clients.size);
  const needs = needsOf(begins, ends, named);
  return { begins, ends, needs, structs: structs.length, deletions, clients, starts, seq, hole };
}

/** What must be there before: what is named and not brought along, and what the structs go on from. */
function needsOf(begins: Facts["begins"], ends: Facts["ends"], named: Facts["needs"]): Facts["needs"] {
  const needs = new Map<number, number>();
  for (const [client, clock] of begins) if (clock > 0) needs.set(client, clock);
  for (const [client, clock] of named) if (clock > (ends.get(client) ?? 0)) raise(needs, client, clock);
  return needs;
}

function seqOf(content: unknown): number {
  const value: unknown = content instanceof Y.ContentAny ? content.arr[0] : null;
  const seq: unknown = typeof value === "object" && value !== null && "seq" in value ? value.seq : 0;
  return typeof seq === "number" ? seq : 0;
}

function raise(clocks: Map<number, number>, client: number, clock: number): void {
  if (clock > (clocks.get(client) ?? 0)) clocks.set(client, clock);
}

function lower(clocks: Map<number, number>, client: number, clock: number): void {
  if (clock < (clocks.get(client) ?? Infinity)) clocks.set(client, clock);
}

/** Whether all that an update stands on is there, where `clockOf` says up to which clock of a client id one is. */
export function stands(facts: Facts, clockOf: (client: number) => number): boolean {
  if (facts.hole) return false;
  for (const [client, clock] of facts.needs) if (clock > clockOf(client)) return false;
  return true;
}

/** Whether all structs of an update are there already. Deletions move no clock: of those alone nobody can tell. */
export function isHeld(facts: Facts, clockOf: (client: number) => number): boolean {
  for (const [client, clock] of facts.ends) if (clock > clockOf(client)) return false;
  return facts.ends.size > 0;
}

/** Merge consecutive updates of one document into one. For batches, not for histories. */
export function merge(updates: readonly Uint8Array[]): Uint8Array {
  return updates.length === 1 ? updates[0]! : Y.mergeUpdates([...updates]);
}
