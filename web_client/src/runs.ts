/**
 * Runs: each run as a reader sees it, of what the server decided and what its agent wrote. PROTOCOL 5.1, 5.7.
 *
 * Works on the transcript's document. Knows nothing of how runs are written or decided.
 */

import type * as Y from "yjs";
import { runKey, splitRunKey } from "./core/ids.js";
import type { Json, JsonMap } from "./core/messages.js";
import { isMap, mapOr, plain, textOr, wholeOr } from "./transcript.js";
import type { Entries, MessageView } from "./transcript.js";

export type RunStatus = "queued" | "running" | "suspended" | "interrupted" | "completed" | "failed" | "cancelled";

/**
 * One agent working on one thing. Another object whenever it changed.
 *
 * `status` is the effective one. `lease` is what the server said last, empty while it said nothing. Output of attempts
 * below `since` and above `attempt` is superseded. `by` is whose message or entry made the run. `consumed` maps the
 * steers that the agent took to when it did. `resume`: it waits for a worker that goes on with what is there. Times are
 * Unix ms.
 */
export interface RunView {
  readonly id: string;
  readonly agent: string;
  readonly status: RunStatus;
  readonly ended: boolean;
  readonly attempt: number;
  readonly since: number;
  readonly lease: string;
  readonly message: string | null;
  readonly parentRun: string | null;
  /** Which attempt of the run above made it, null where that is not known. */
  readonly parentAttempt: number | null;
  readonly task: string | null;
  readonly by: string | null;
  readonly worker: string | null;
  /** When the server, else its agent, says that it was made. */
  readonly madeAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly expiresAt: number | null;
  readonly finishReason: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly usage: JsonMap;
  readonly provider: JsonMap;
  readonly consumed: { readonly [command: string]: number };
  readonly cancelledBy: string | null;
  readonly resume: boolean;
}

/** The one decision on a tool call. */
export interface Decision {
  readonly command: string;
  readonly by: string;
  readonly kind: string;
  readonly at: number;
  readonly payload: Json;
}

/** Who is responsible for a session from `at` on, as `by` said by a command. */
export interface Handover {
  readonly to: string;
  readonly by: string;
  readonly at: number;
  readonly note: string;
  readonly command: string;
}

/**
 * The runs of a transcript, read once and again only where something changed.
 *
 * 1. What the server wrote counts; what the agent's entries add is of the current attempt, `consumed` of all
 *    whose output counts: a steer that an attempt took which was given up waits for the next one.
 * 2. `spans` moves whenever it may be another output that counts.
 */
export class Runs {
  #spans = 0;
  #views = new Map<string, RunView>();
  #list: readonly RunView[] | null = null;
  // Receipts are never changed: a run's are read on from where they were read to.
  #facts = new Map<string, JsonMap[]>();
  #attempts = new Map<string, Set<number>>();
  #stale: Set<string> | null = null;
  #handovers: JsonMap[] = [];

  constructor(private readonly document: () => Y.Doc) {}

  /** Note that these entries changed. */
  touch(entries: Entries): void {
    if (this.#stale === null) return;
    for (const [root, key] of entries) this.#touch(root, key, this.#stale);
  }

  /** Forget everything: the document was replaced. */
  reset(): void {
    this.#views.clear();
    this.#facts.clear();
    this.#attempts.clear();
    this.#list = this.#stale = null;
    this.#handovers = [];
    this.#spans++;
  }

  /** See invariant 2. */
  get spans(): number {
    this.#refresh();
    return this.#spans;
  }

  /** All runs, in the order they were made in. The same array until something changed. */
  runs(): readonly RunView[] {
    this.#refresh();
    this.#list ??= [...this.#views.values()].sort((a, b) => a.madeAt - b.madeAt || (a.id < b.id ? -1 : 1));
    return this.#list;
  }

  /** One run, null if there is none of that id. */
  run(id: string): RunView | null {
    this.#refresh();
    return this.#views.get(id) ?? null;
  }

  /** Whether a message is output of an attempt that no longer counts. */
  superseded(message: MessageView): boolean {
    const { attempt } = message;
    const run = this.outputOf(message); // What others wrote never is.
    if (run === null || attempt === null) return false;
    return run.since > attempt || attempt > run.attempt || this.#givenUp(run);
  }

  /** Whether a run is below an attempt that no longer counts. */
  #givenUp(run: RunView, seen: readonly string[] = []): boolean {
    const { parentAttempt } = run;
    const above = this.#views.get(run.parentRun ?? "");
    if (parentAttempt === null || above === undefined || seen.includes(above.id)) return false;
    return parentAttempt < above.since || this.#givenUp(above, [...seen, run.id]);
  }

  /** The run that a message is output of; null if its author is not that run's agent. */
  outputOf(message: MessageView): RunView | null {
    const run = message.run === null ? null : this.run(message.run);
    return run !== null && isOutput(message, run) ? run : null;
  }

  /** The one decision on a tool call, null before there is one. */
  decision(toolCall: string): Decision | null {
    const found = this.#receipt(`d:${toolCall}`);
    if (found === null) return null;
    return {
      command: textOr(found["command"]) ?? "",
      by: textOr(found["by"]) ?? "",
      kind: textOr(found["kind"]) ?? "",
      at: wholeOr(found["at"]) ?? 0,
      payload: found["payload"] ?? null,
    };
  }

  /** The last hand-over of the session, null if there was none. */
  handover(): Handover | null {
    for (let found; (found = this.#receipt(`a:${this.#handovers.length}`)) !== null;) this.#handovers.push(found);
    const last = this.#handovers.at(-1);
    if (last === undefined) return null;
    return {
      to: textOr(last["to"]) ?? "",
      by: textOr(last["by"]) ?? "",
      at: wholeOr(last["at"]) ?? 0,
      note: textOr(last["note"]) ?? "",
      command: textOr(last["command"]) ?? "",
    };
  }

  #touch(root: string, key: string, stale: Set<string>): void {
    if (root === "runs") {
      const [run, attempt] = splitRunKey(key);
      if (attempt === 0) return;
      this.#known(run).add(attempt);
      stale.add(run);
    } else if (root === "receipts") {
      const run = runOfFact(key);
      if (run !== "") stale.add(run);
    }
  }

  #refresh(): void {
    const document = this.document();
    if (this.#stale === null) {
      this.#stale = new Set();
      for (const root of ["runs", "receipts"]) {
        for (const key of document.getMap(root).keys()) this.#touch(root, key, this.#stale);
      }
    }
    if (this.#stale.size === 0) return;
    const stale = this.#stale;
    this.#stale = new Set();
    this.#list = null;
    for (const run of stale) {
      const before = this.#views.get(run);
      const after = this.#read(document, run);
      if (after === null) continue;
      this.#views.set(run, after);
      if (before?.since !== after.since || before.attempt !== after.attempt) this.#spans++;
    }
  }

  #read(document: Y.Doc, run: string): RunView | null {
    let facts = this.#facts.get(run);
    if (facts === undefined) this.#facts.set(run, (facts = []));
    for (let fact; (fact = this.#receipt(`r:${run}.${facts.length}`)) !== null;) facts.push(fact);
    // What a receipt tells of may be in the document before this is told that it is: a view never says that a run is
    // over without why.
    const known = this.#known(run);
    for (let attempt = wholeOr(facts.at(-1)?.["attempt"]) ?? 0; attempt > 0; attempt--) known.add(attempt);
    const attempts = new Map<number, JsonMap>();
    for (const attempt of [...known].sort((a, b) => a - b)) {
      const entry = plain(document.getMap("runs").get(runKey(run, attempt)));
      if (isMap(entry)) attempts.set(attempt, entry);
    }
    return facts.length > 0 || attempts.size > 0 ? viewOf(run, facts, attempts) : null;
  }

  #known(run: string): Set<number> {
    let known = this.#attempts.get(run);
    if (known === undefined) this.#attempts.set(run, (known = new Set()));
    return known;
  }

  #receipt(key: string): JsonMap | null {
    const found = this.document().getMap("receipts").get(key);
    return isMap(found) ? found : null;
  }
}

/**
 * Whether a message that names `run` is output of it: whose author is not its agent adds nothing to it. What has no
 * receipt is of this device, and nobody else sees it.
 */
export function isOutput(message: Pick<MessageView, "by">, run: Pick<RunView, "agent">): boolean {
  return (message.by ?? run.agent) === run.agent;
}

/** The run that a receipt of this key is about; empty if it is about none. */
export function runOfFact(key: string): string {
  return key.startsWith("r:") ? key.slice(2, Math.max(2, key.lastIndexOf("."))) : "";
}

function viewOf(run: string, facts: readonly JsonMap[], attempts: ReadonlyMap<number, JsonMap>): RunView {
  const [first, last] = [facts[0] ?? {}, facts.at(-1) ?? {}];
  const numbers = [...attempts.keys()];
  const made = attempts.get(numbers[0] ?? 0) ?? {};
  // One that was begun here is its own word until the server takes it.
  const attempt = facts.length > 0 ? wholeOr(last["attempt"]) : numbers.at(-1);
  const since = facts.length > 0 ? wholeOr(last["since"]) : numbers[0];
  const entry = attempts.get(attempt ?? 0) ?? {};
  const lease = textOr(last["lease"]) ?? "";
  const status = statusOf(lease, last, entry);
  const ended = isEnd(status);
  const startedAt = wholeOr(entry["started_at"]);
  return {
    id: run,
    agent: textOr(first["agent"]) ?? textOr(made["agent"]) ?? "",
    status,
    ended,
    attempt: attempt ?? 0,
    since: since ?? 0,
    lease,
    message: textOr(first["message"]) ?? textOr(made["message"]),
    parentRun: textOr(first["parent_run"]) ?? textOr(made["parent_run"]),
    parentAttempt: wholeOr(first["parent_attempt"]),
    task: textOr(made["task"]),
    by: textOr(first["by"]),
    worker: textOr(last["worker"]),
    madeAt: wholeOr(first["at"]) || startedAt || 0,
    startedAt,
    endedAt: ended ? wholeOr(entry["ended_at"]) || wholeOr(last["at"]) : null,
    expiresAt: wholeOr(first["expires_at"]),
    finishReason: textOr(entry["finish_reason"]),
    error: errorOf(status, last, entry),
    usage: mapOr(entry["usage"]),
    provider: mapOr(entry["provider"]),
    consumed: consumedIn(attempts, since ?? 0),
    cancelledBy: textOr(last["cancelled_by"]) ?? (status === "cancelled" ? textOr(last["by"]) : null),
    resume: Boolean(last["resume"]),
  };
}

function consumedIn(attempts: ReadonlyMap<number, JsonMap>, since: number): RunView["consumed"] {
  const consumed: Record<string, number> = {};
  for (const [number, entry] of attempts) {
    if (number < since) continue; // Invariant 1.
    for (const [command, at] of Object.entries(mapOr(entry["consumed"]))) consumed[command] = wholeOr(at) ?? 0;
  }
  return consumed;
}

function errorOf(status: RunStatus, last: JsonMap, entry: JsonMap): RunView["error"] {
  const said = mapOr(entry["error"]);
  if (Object.keys(said).length > 0)
    return { ...said, code: textOr(said["code"]) ?? "", message: textOr(said["message"]) ?? "" };
  const code = textOr(last["code"]);
  return status === "failed" && code !== null ? { code, message: "" } : null;
}

/** The agent's terminal status if its attempt is the current one, else the server's word, else its own. */
function statusOf(lease: string, last: JsonMap, entry: JsonMap): RunStatus {
  const said = textOr(entry["status"]) ?? "";
  if (lease === "ended") return (textOr(last["status"]) as RunStatus | null) ?? "failed";
  if (isEnd(said)) return said;
  // Offered again after its worker was lost: whoever looks has to see that, until somebody has it.
  if (lease === "queued") return last["attempt"] && !last["resume"] ? "interrupted" : "queued";
  if (lease === "interrupted") return lease;
  if (said === "running") return said;
  if (said === "suspended" || said === "detached") return "suspended";
  return lease === "suspended" ? "suspended" : "running";
}

function isEnd(status: string): status is "completed" | "failed" | "cancelled" {
  return status === "completed" || status === "failed" || status === "cancelled";
}
