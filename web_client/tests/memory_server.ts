/**
 * MemoryServer: a small fake of a server's session: who is here, and the receipts that a server would write.
 *
 * Its decisions on runs and commands are the simplest that screens and tests need; the real ones are the server's.
 */

import * as Y from "yjs";
import type { JsonMap, Layer, PresenceEntry } from "../src/core/messages.js";
import { runOfCall, splitRunKey } from "../src/core/ids.js";
import type { MemoryReplica } from "./memory_replica.js";

export interface Refusal {
  readonly code: string;
  readonly reason: string;
}

const ENDS = new Set(["completed", "failed", "cancelled"]);

export class MemoryServer {
  seq = 0;
  readonly roots = new Map<string, number>();
  /** Set it to have pushes refused. */
  refuse: (replica: MemoryReplica, layer: Layer, update: Uint8Array) => Refusal | null = () => null;
  #documents: Record<Layer, Y.Doc> = { transcript: new Y.Doc(), state: new Y.Doc() };
  #replicas = new Map<MemoryReplica, PresenceEntry>();
  #by = "server:";
  #handovers = 0;

  constructor(
    readonly session = "trip",
    readonly now: () => number = Date.now,
  ) {
    for (const layer of ["transcript", "state"] as const) {
      this.#documents[layer].on("update", (update: Uint8Array) => {
        for (const replica of this.#replicas.keys())
          queueMicrotask(() => replica.online && replica.take(layer, update));
      });
    }
    const transcript = this.#documents.transcript;
    transcript.getMap("messages").observe((event) => this.#each(event, (id) => this.#message(id)));
    transcript.getMap("commands").observe((event) => this.#each(event, (id) => this.#command(id)));
    transcript.getMap("runs").observeDeep((events) => {
      for (const event of events) {
        const [key] = event.path;
        if (typeof key === "string") this.#attempt(key);
        else for (const [added, change] of event.changes.keys) if (change.action === "add") this.#attempt(added);
      }
    });
  }

  attach(replica: MemoryReplica, state: JsonMap | null): number {
    const [kind = "", name = ""] = replica.subject.split(":");
    const { peer, subject, device } = replica;
    this.#replicas.set(replica, { peer, subject, kind, name, device, state: state ?? {} });
    this.#tellPresence(replica);
    return this.seq;
  }

  detach(replica: MemoryReplica): void {
    this.#replicas.delete(replica);
    this.#tellPresence(replica);
  }

  setPresence(replica: MemoryReplica, state: JsonMap | null): void {
    const entry = this.#replicas.get(replica);
    if (entry !== undefined) this.#replicas.set(replica, { ...entry, state: state ?? {} });
    this.#tellPresence(replica);
  }

  present(but: MemoryReplica): PresenceEntry[] {
    return [...this.#replicas].filter(([replica]) => replica !== but).map(([, entry]) => entry);
  }

  diff(layer: Layer, vector?: Uint8Array): Uint8Array {
    return Y.encodeStateAsUpdate(this.#documents[layer], vector);
  }

  push(replica: MemoryReplica, layer: Layer, update: Uint8Array): Refusal | null {
    const refusal = this.refuse(replica, layer, update);
    if (refusal !== null) return refusal;
    this.#by = replica.subject;
    Y.applyUpdate(this.#documents[layer], update);
    return null;
  }

  /** Take the kinds of roots from a document in which they were made. */
  learn(state: Y.Doc): void {
    for (const [name, type] of state.share) {
      const kind = type instanceof Y.Array ? 0 : type instanceof Y.Map ? 1 : type instanceof Y.Text ? 2 : 4;
      if (!this.roots.has(name) && (type._map.size > 0 || type._start !== null)) this.roots.set(name, kind);
    }
  }

  /** Write the next fact of a run. */
  fact(run: string, fields: JsonMap): void {
    let number = 0;
    while (this.#receipt(`r:${run}.${number}`) !== undefined) number++;
    const before = number > 0 ? this.#receipt(`r:${run}.${number - 1}`)! : { attempt: 0, since: 1 };
    const { attempt = 0, since = 1, cancelled_by: cancelledBy } = before;
    const kept = cancelledBy === undefined ? {} : { cancelled_by: cancelledBy };
    this.write(`r:${run}.${number}`, { at: this.now(), attempt, since, ...kept, ...fields });
  }

  /** Write a receipt. */
  write(key: string, value: JsonMap): void {
    this.#documents.transcript.getMap("receipts").set(key, value);
  }

  #each(event: Y.YMapEvent<unknown>, decide: (id: string) => void): void {
    for (const [key, change] of event.changes.keys) if (change.action === "add") decide(key);
  }

  #message(id: string): void {
    const by = this.#by;
    this.write(`m:${id}`, { seq: ++this.seq, by, at: this.now() });
    const message = this.#documents.transcript.getMap("messages").get(id) as Y.Map<unknown>;
    const named = (message.get("to") ?? []) as string[];
    const responsible = this.#receipt(`a:${this.#handovers - 1}`)?.["to"];
    const to = named.length === 0 && by.startsWith("user:") && responsible ? [String(responsible)] : named;
    for (const agent of to.filter((name) => name.startsWith("agent:"))) {
      this.fact(runId(id, agent), { lease: "queued", agent, by, message: id });
    }
  }

  #attempt(key: string): void {
    const [run, attempt] = splitRunKey(key);
    const entry = this.#documents.transcript.getMap("runs").get(key) as Y.Map<string>;
    const status = entry.get("status") ?? "running";
    const last = this.#last(run);
    if ((this.#receipt(`r:${run}.0`)?.["agent"] ?? this.#by) !== this.#by) return;
    if (last?.["lease"] === "ended" || (last !== undefined && Number(last["attempt"]) > attempt)) return;
    const made = last === undefined ? { agent: this.#by, by: this.#by } : {};
    const lease = ENDS.has(status) ? "ended" : status === "running" ? "live" : "suspended";
    if (last?.["lease"] === lease && last["attempt"] === attempt) return;
    const more = lease === "ended" ? { status } : { worker: "worker" };
    this.fact(run, { ...made, lease, attempt, ...(last?.["attempt"] === attempt ? {} : { since: attempt }), ...more });
  }

  #command(id: string): void {
    const by = this.#by;
    const seq = ++this.seq;
    const command = this.#documents.transcript.getMap("commands").get(id) as Record<string, string> & JsonMap;
    const outcome = this.#decide(id, command, by);
    this.write(`c:${id}`, { seq, by, at: this.now(), outcome });
  }

  #decide(id: string, command: JsonMap, by: string): string {
    const { kind, run, tool_call: toolCall, payload = null } = command;
    if (typeof toolCall === "string") {
      const decided = this.#receipt(`d:${toolCall}`);
      if (decided !== undefined) return decided["kind"] === kind ? "duplicate" : "late";
      if (this.#last(runOfCall(toolCall)) === undefined) return "denied";
      this.write(`d:${toolCall}`, { command: id, by, kind: kind ?? "", at: this.now(), payload });
      return "accepted";
    }
    if (kind === "handoff" && command["session"] !== undefined) {
      const { to = "", note = "" } = payload as JsonMap;
      this.write(`a:${this.#handovers++}`, { to, note, by, at: this.now(), command: id });
      return "accepted";
    }
    if (typeof run !== "string") return "accepted";
    const last = this.#last(run);
    if (last === undefined) return "denied";
    if (last["lease"] === "ended") return "late";
    if (kind !== "cancel") return "accepted";
    if (last["cancelled_by"] !== undefined) return "duplicate";
    const ended = last["lease"] === "queued" ? { lease: "ended", status: "cancelled" } : { lease: last["lease"] ?? "" };
    this.fact(run, { ...ended, cancelled_by: by });
    return "accepted";
  }

  #last(run: string): JsonMap | undefined {
    let last: JsonMap | undefined;
    for (let number = 0, next; (next = this.#receipt(`r:${run}.${number}`)) !== undefined; number++) last = next;
    return last;
  }

  #receipt(key: string): JsonMap | undefined {
    return this.#documents.transcript.getMap("receipts").get(key) as JsonMap | undefined;
  }

  #tellPresence(but: MemoryReplica): void {
    for (const replica of this.#replicas.keys()) {
      if (replica !== but) queueMicrotask(() => replica.tell({ kind: "presence" }));
    }
  }
}

/** The id of the run in which `agent` answers `message`. A real server's is a hash of the two. */
export function runId(message: string, agent: string): string {
  return `${message.replaceAll("-", "").slice(-16)}${agent.slice(6).replaceAll(/[^A-Za-z0-9_-]/g, "_")}`.slice(0, 48);
}
