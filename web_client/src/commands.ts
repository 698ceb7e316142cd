/**
 * Commands: requests to whoever runs something, how they stand in a transcript, and what became of them. PROTOCOL 5.7.
 *
 * Knows nothing of how commands are decided: the server's receipt says it.
 */

import type * as Y from "yjs";
import { LocalProtocolError } from "./core/errors.js";
import type { Json, JsonMap } from "./core/messages.js";
import type { Edit } from "./core/replica.js";
import { Session as CoreSession } from "./core/session.js";
import type { RunView } from "./runs.js";
import { TARGETS } from "./schema.js";
import type { CommandReceipt, NewCommand, Outcome, TargetKind } from "./schema.js";
import { isMap, readReceipt, textOr, wholeOr } from "./transcript.js";
import type { Entries } from "./transcript.js";
import { within } from "./core/waiting.js";

/** A command as a reader sees it. Another object whenever it changed. `receipt` is null until the server decided. */
export interface CommandView {
  readonly id: string;
  readonly kind: string;
  /** What it is about, and its id. */
  readonly target: TargetKind | null;
  readonly targetId: string;
  readonly payload: Json;
  /** Unix ms, by its author's clock. */
  readonly at: number;
  readonly expiresAt: number | null;
  readonly receipt: CommandReceipt | null;
}

/** The commands of a transcript, read once and again only where something changed. */
export class Commands {
  #views = new Map<string, CommandView>();
  #list: readonly CommandView[] | null = null;
  #stale: Set<string> | null = null;

  constructor(private readonly document: () => Y.Doc) {}

  /** Note that these entries changed. */
  touch(entries: Entries): void {
    if (this.#stale === null) return;
    for (const [root, key] of entries) {
      if (root === "commands") this.#stale.add(key);
      else if (root === "receipts" && key.startsWith("c:")) this.#stale.add(key.slice(2));
    }
  }

  /** Forget everything: the document was replaced. */
  reset(): void {
    this.#views.clear();
    this.#list = this.#stale = null;
  }

  /** All commands in the agreed order, those without a receipt last. The same array until something changed. */
  commands(): readonly CommandView[] {
    this.#refresh();
    this.#list ??= [...this.#views.values()].sort(
      (a, b) => (a.receipt?.seq ?? 2 ** 53) - (b.receipt?.seq ?? 2 ** 53) || a.at - b.at || (a.id < b.id ? -1 : 1),
    );
    return this.#list;
  }

  /** One command, null if there is none of that id. */
  command(id: string): CommandView | null {
    this.#refresh();
    return this.#views.get(id) ?? null;
  }

  #refresh(): void {
    const document = this.document();
    const stale = this.#stale ?? new Set(document.getMap("commands").keys());
    this.#stale ??= new Set();
    if (stale.size === 0) return;
    this.#stale = new Set();
    this.#list = null;
    for (const id of stale) {
      const view = readCommand(document, id);
      if (view === null) this.#views.delete(id);
      else this.#views.set(id, view);
    }
  }
}

/** Write a command, within one transaction and after its check. Throws: its id is used already. */
export function putCommand(document: Y.Doc, command: NewCommand): void {
  const commands = document.getMap("commands");
  if (commands.has(command.id)) throw new LocalProtocolError(`command ${command.id} exists already`);
  const body: Record<string, Json> = { kind: command.kind, at: command.at };
  for (const target of TARGETS) if (command.target[target] !== undefined) body[target] = command.target[target];
  if (command.payload != null) body["payload"] = command.payload;
  if (command.expiresAt !== undefined) body["expires_at"] = command.expiresAt;
  commands.set(command.id, body);
}

function readCommand(document: Y.Doc, id: string): CommandView | null {
  const raw = document.getMap("commands").get(id);
  if (!isMap(raw)) return null;
  const target = TARGETS.find((name) => typeof raw[name] === "string") ?? null;
  const found = document.getMap("receipts").get(`c:${id}`);
  const receipt = readReceipt(found);
  const outcome = (isMap(found) && (textOr(found["outcome"]) as Outcome | null)) || "accepted";
  return {
    id,
    kind: textOr(raw["kind"]) ?? "",
    target,
    targetId: target === null ? "" : String(raw[target]),
    payload: raw["payload"] ?? null,
    at: wholeOr(raw["at"]) ?? 0,
    expiresAt: wholeOr(raw["expires_at"]),
    receipt: receipt === null ? null : { ...receipt, outcome },
  };
}

/** What a command needs of its session. */
export interface CommandHost {
  commandView(id: string): CommandView | null;
  runs(): readonly RunView[];
  until<T>(look: () => T | null, timeoutMs?: number): Promise<T>;
}

/** An own command: saved already, on its way when there is a link. */
export class Command {
  constructor(
    private readonly host: CommandHost,
    readonly id: string,
    readonly kind: string,
    readonly target: NewCommand["target"],
    private readonly edit: Edit,
  ) {}

  /** The server's receipt, null before there is one. */
  get receipt(): CommandReceipt | null {
    return this.host.commandView(this.id)?.receipt ?? null;
  }

  /** Resolves when it is on the server's disk. Rejects with `NotSynced`: it was refused for good. */
  synced(): Promise<void> {
    return this.edit.synced;
  }

  /**
   * What the server decided. Without a link that takes until there is one.
   *
   * Rejects with `TimedOut` (the command stands: ask again) or `NotSynced` (it was refused for good).
   */
  async outcome({ timeoutMs }: { timeoutMs?: number } = {}): Promise<Outcome> {
    const decided = this.edit.synced.then(() => this.host.until(() => this.receipt));
    return (await within(decided, timeoutMs)).outcome;
  }

  /**
   * For a steer: whether the run took it. False once that is certain: it was not accepted, or the run is over.
   *
   * Rejects as `outcome` does.
   */
  async consumed({ timeoutMs }: { timeoutMs?: number } = {}): Promise<boolean> {
    const known = this.outcome().then((outcome) => outcome === "accepted" && this.host.until(() => this.#consumed()));
    return within(known, timeoutMs);
  }

  #consumed(): boolean | null {
    const { run, message } = this.target;
    const runs = this.host
      .runs()
      .filter((view) => view.id === run || (message !== undefined && view.message === message));
    if (runs.some((view) => this.id in view.consumed)) return true;
    return runs.length > 0 && runs.every((view) => view.ended) ? false : null;
  }
}

/** A run, or all runs of a message. */
export type Running = { readonly run: string } | { readonly message: string };
export interface CommandOptions {
  /** The server takes it no more after that. */
  readonly expiresInMs?: number;
}

/** A session's verbs. Each resolves when its command is saved; see `Command.outcome` for what became of it. */
export abstract class Commanding extends CoreSession {
  /** Write a command by its bare name; resolves when it is saved. */
  abstract command(
    kind: NewCommand["kind"],
    target: NewCommand["target"],
    options?: CommandOptions & { payload?: Json },
  ): Promise<Command>;

  /** Have a run end, or all runs of a message, also before it has any. */
  cancel(what: Running, options?: CommandOptions): Promise<Command> {
    return this.command("cancel", { ...what }, options);
  }

  /** Say something to a run while it runs; `interrupt` has it leave its present model call for it. */
  steer(
    text: string,
    { interrupt = false, expiresInMs, ...what }: Running & CommandOptions & { interrupt?: boolean },
  ): Promise<Command> {
    const payload = interrupt ? { text, interrupt } : { text };
    return this.command("steer", { ...what }, { payload, ...(expiresInMs === undefined ? {} : { expiresInMs }) });
  }

  /** Allow a tool call. The first decision counts. */
  approve(toolCall: string, payload: Json = null, options?: CommandOptions): Promise<Command> {
    return this.command("approve", { tool_call: toolCall }, { payload, ...options });
  }

  /** Refuse a tool call. The first decision counts. */
  deny(toolCall: string, reason = "", options?: CommandOptions): Promise<Command> {
    return this.command("deny", { tool_call: toolCall }, { payload: reason === "" ? null : { reason }, ...options });
  }

  /** Give the result of a tool call that runs on this side. The first one counts. */
  toolResult(toolCall: string, output: Json, options?: CommandOptions): Promise<Command> {
    return this.command("tool_result", { tool_call: toolCall }, { payload: output, ...options });
  }

  /** Hand over to `to`, a subject: a run, or what runs for a message, to another agent; else the session. */
  handoff(
    to: string,
    { note = "", ...what }: { note?: string; run?: string; message?: string } = {},
  ): Promise<Command> {
    if (what.run === undefined && what.message === undefined) return this.assign(to, { note });
    return this.command("handoff", what, { payload: handover(to, note) });
  }

  /** Say who is responsible for the session from now on: a person or an agent. */
  assign(to: string, { note = "" }: { note?: string } = {}): Promise<Command> {
    return this.command("handoff", { session: this.id }, { payload: handover(to, note) });
  }
}

function handover(to: string, note: string): JsonMap {
  return note === "" ? { to } : { to, note };
}
