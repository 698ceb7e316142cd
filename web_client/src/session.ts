/**
 * Session: one session as an app sees it, from the local copy, with or without a network.
 *
 * Works on a `Replica`. Knows nothing of sockets, stores or tabs.
 */

import type * as Y from "yjs";
import { Changes, Feed } from "./changes.js";
import { Command, Commanding, Commands, putCommand } from "./commands.js";
import type { CommandOptions, CommandView } from "./commands.js";
import { LocalProtocolError } from "./errors.js";
import { editOf, regenerationOf, textPart } from "./forks.js";
import type { Fork } from "./forks.js";
import { Clock } from "./ids.js";
import type { Json, Right } from "./messages.js";
import { putMessage } from "./parts.js";
import { Message } from "./posted.js";
import type { PostOptions } from "./posted.js";
import { Presence } from "./presence.js";
import type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
import { Runs } from "./runs.js";
import type { Decision, Handover, RunView } from "./runs.js";
import { scan } from "./scan.js";
import { checkCommand, checkMessage } from "./schema.js";
import type { NewCommand, NewMessage } from "./schema.js";
import { State } from "./state.js";
import type { Status } from "./status.js";
import { Stream } from "./stream.js";
import { approvalsOf, summaryOf } from "./summary.js";
import type { Approval, Summary } from "./summary.js";
import { Transcript, putRead, readRead } from "./transcript.js";
import type { MessageView } from "./transcript.js";
import { View } from "./view.js";
import type { ViewOptions } from "./view.js";
import { Listeners, within } from "./waiting.js";

/**
 * One session in this tab. Open it with `Client.open`.
 *
 * 1. An edit is applied at once; `post`, commands and a stream's end resolve when it is saved.
 * 2. What is read twice is the same object until it changed.
 * 3. Listeners are called at most once a microtask, however much changed.
 */
export class Session extends Commanding {
  readonly id: string;
  readonly state: State;
  readonly presence: Presence;
  readonly #replica: Replica;
  readonly #transcript: Transcript;
  readonly #runs: Runs;
  readonly #commands: Commands;
  readonly #feed: Feed;
  readonly #clock: Clock;
  readonly #listeners = new Listeners();
  readonly #stopListening: () => void;
  readonly #onClose: () => void;
  #reads: Map<string, number> | null = null;
  #rights: ReadonlySet<Right> | null = null;
  #status: Status;
  #version = 0;
  #closed: Promise<void> | null = null;

  /** Called by `Client.open`. `onClose` is called once, when this object is closed. */
  constructor(
    replica: Replica,
    { now = Date.now, onClose = () => {} }: { now?: () => number; onClose?: () => void } = {},
  ) {
    super();
    const transcript = () => replica.document("transcript");
    this.id = replica.session;
    this.#replica = replica;
    this.#status = replica.status;
    this.#transcript = new Transcript(transcript);
    this.#runs = new Runs(transcript);
    this.#commands = new Commands(transcript);
    this.#feed = new Feed(this);
    this.#clock = new Clock(now);
    this.state = new State(replica);
    this.presence = new Presence(replica);
    this.#onClose = onClose;
    this.#stopListening = replica.listen((change) => this.#changed(change));
  }

  /** Save what is not saved, and let go. What is not synced stays in this browser and goes out later. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  // Reading

  /** Who writes here, such as `user:mona`; empty before the first contact with a server. */
  get subject(): string {
    return this.#replica.subject;
  }

  /** What the grant allows here; null until this device has been on the session once. */
  get rights(): ReadonlySet<Right> | null {
    const now = this.#replica.rights;
    if (this.#rights === null || now === null || !sameRights(this.#rights, now)) this.#rights = now;
    return this.#rights;
  }

  /** Where it stands: live, reconnecting, offline, or refused with the reason. */
  get status(): Status {
    const now = this.#replica.status;
    if (JSON.stringify(this.#status) !== JSON.stringify(now)) this.#status = now;
    return this.#status;
  }

  /** How many own edits, of all tabs of this device, are not on the server's disk yet. */
  get unsynced(): number {
    return this.#replica.unsynced;
  }

  /** Moves with every change: compare it to know whether anything is new. */
  get version(): number {
    return this.#version;
  }

  /** The `seq` of the last message or command that this copy has. */
  get seq(): number {
    const message = this.messages().findLast((view) => view.seq !== null)?.seq ?? 0;
    const command = this.commands().findLast((view) => view.receipt !== null)?.receipt?.seq ?? 0;
    return Math.max(message, command);
  }

  /** All messages of all branches in the agreed order, own ones that are not sent yet last. */
  messages(): readonly MessageView[] {
    return this.#transcript.messages();
  }

  /** One message, null if there is none of that id. */
  message(id: string): MessageView | null {
    return this.#transcript.message(id);
  }

  /** The newest `limit` messages with a `seq` below `before`, oldest first. */
  history({ limit = 50, before = Infinity }: { limit?: number; before?: number } = {}): readonly MessageView[] {
    const placed = this.messages().filter((view) => view.seq !== null && view.seq < before);
    return placed.slice(Math.max(0, placed.length - limit));
  }

  /** A look at this session's branches: the newest `page` messages of the one that is shown. */
  view(options?: ViewOptions): View {
    return new View(this, options);
  }

  /** This copy's messages that hold all words of `query`, newest first. The last word may be a beginning. */
  search(query: string, { limit = 50 }: { limit?: number } = {}): Promise<readonly MessageView[]> {
    return Promise.resolve(scan(this.messages(), query, limit));
  }

  /** All commands with their receipts, in the agreed order. */
  commands(): readonly CommandView[] {
    return this.#commands.commands();
  }

  /** One command, null if there is none of that id. */
  commandView(id: string): CommandView | null {
    return this.#commands.command(id);
  }

  /** How far each subject has read: subject to `seq`. */
  reads(): ReadonlyMap<string, number> {
    if (this.#reads === null) {
      this.#reads = new Map();
      for (const [subject, value] of this.#replica.document("transcript").getMap("reads").entries()) {
        const seq = readRead(value);
        if (seq !== null) this.#reads.set(subject, seq);
      }
    }
    return this.#reads;
  }

  /** All runs, in the order they were made in. */
  runs(): readonly RunView[] {
    return this.#runs.runs();
  }

  /** One run, null if there is none of that id. */
  run(id: string): RunView | null {
    return this.#runs.run(id);
  }

  /** The messages that a run wrote, in order. */
  messagesOf(run: string): readonly MessageView[] {
    return this.#transcript.ofRun(run);
  }

  /** Whether a message is output of an attempt that no longer counts: kept, and shown as such. */
  superseded(message: MessageView): boolean {
    return this.#runs.superseded(message);
  }

  /** See `view.ViewHost`. */
  get shape(): number {
    return this.#transcript.shape;
  }

  /** See `view.ViewHost`. */
  get spans(): number {
    return this.#runs.spans;
  }

  /** The one decision on a tool call, null before there is one. */
  decision(toolCall: string): Decision | null {
    return this.#runs.decision(toolCall);
  }

  /** Tool calls that wait for somebody's decision. */
  approvals(): readonly Approval[] {
    return approvalsOf(this.#transcript, this.#runs);
  }

  /** Who is responsible: the last that the session was handed to, a person or an agent; null if nobody ever was. */
  get responsible(): string | null {
    return this.handover()?.to ?? null;
  }

  /** The last hand-over, null if there was none. */
  handover(): Handover | null {
    return this.#runs.handover();
  }

  /** What a list of sessions shows of this one. */
  summary(): Summary {
    const { subject, unsynced } = this;
    const mayDecide = this.rights?.has("command") ?? true;
    const documents = { transcript: this.#replica.document("transcript"), state: this.#replica.document("state") };
    return summaryOf({ session: this.id, subject, unsynced, mayDecide }, this.#transcript, this.#runs, documents);
  }

  /** What is new from now on, in order; first `caught-up`. Leave the loop, or call its `close`, to end it. */
  changes(): Changes {
    return this.#feed.open();
  }

  // Writing

  /**
   * Write a message; resolves when it is saved.
   *
   * Rejects with `LocalProtocolError` (not as the schema says, too large, or the grant does not allow it) or
   * `StoreError` (this browser's store did not take it).
   */
  async post(text: string, options: PostOptions = {}): Promise<Message> {
    const parts = text === "" ? (options.parts ?? []) : [textPart(text), ...(options.parts ?? [])];
    if (parts.length === 0) throw new LocalProtocolError("a message holds a text or parts");
    return this.#post({ ...options, parts });
  }

  /** Write `text` as an alternative to a message, for the same addressees unless `to` says others. Rejects as `post`. */
  async edit(message: string, text: string, { to }: { to?: readonly string[] } = {}): Promise<Message> {
    return this.#post(editOf(this.messages(), message, text, to));
  }

  /** Ask for another answer in place of `message`: of the agent that made it, or of `to`. Resolves to the request. */
  async regenerate(message: string, { to }: { to?: string } = {}): Promise<Message> {
    return this.#post(regenerationOf(this.messages(), message, to));
  }

  /** A message to write bit by bit. */
  stream(options: Omit<PostOptions, "parts" | "expiresInMs"> = {}): Stream {
    const message = this.#draft({ role: "assistant", ...options });
    checkMessage(message);
    return new Stream({ write: (change) => this.#write(change), saved: () => this.saved() }, message);
  }

  async command(
    kind: NewCommand["kind"],
    target: NewCommand["target"],
    { payload = null, expiresInMs }: CommandOptions & { payload?: Json } = {},
  ): Promise<Command> {
    const { id, at } = this.#clock.next();
    const expires = expiresInMs === undefined ? {} : { expiresAt: at + Math.round(expiresInMs) };
    const command: NewCommand = { id, kind, at, target, payload, ...expires };
    checkCommand(command);
    const edit = this.#write((document) => putCommand(document, command));
    await edit.saved;
    return new Command(this, id, kind, target, edit);
  }

  /** Say that this subject has read up to `seq`, the newest without one. Resolves when it is saved. */
  async markRead(seq: number = this.seq): Promise<void> {
    const { subject } = this;
    if (subject === "" || (this.reads().get(subject) ?? -1) >= seq) return;
    await this.#write((document) => putRead(document, subject, seq, this.#clock.next().at)).saved;
  }

  /** Resolves when every edit made so far is saved. Rejects with `StoreError`. */
  saved(): Promise<void> {
    return this.#replica.saved();
  }

  /** Resolves when every edit made so far is on the server's disk. */
  synced(): Promise<void> {
    return this.#replica.synced();
  }

  /** Own edits that the server refused: kept until `dropRefused`. */
  refused(): Promise<readonly RefusedEdit[]> {
    return this.#replica.refused();
  }

  /** Let go of the refused edits. */
  dropRefused(): Promise<void> {
    return this.#replica.dropRefused();
  }

  // Waiting

  /** Call `listener` after anything changed, at most once a microtask. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Resolves to the first that `look` finds: now, or when something changed.
   *
   * Rejects with `TimedOut`, or with `LocalProtocolError` when the session is closed.
   */
  until<T>(look: () => T | null, timeoutMs?: number): Promise<T> {
    return within(this.#listeners.until(look), timeoutMs);
  }

  // Inside

  async #close(): Promise<void> {
    try {
      await this.#replica.saved();
    } finally {
      this.#stopListening();
      this.#feed.close();
      this.state.close();
      this.#listeners.close(this.#closedError());
      this.#onClose();
      await this.#replica.close();
    }
  }

  async #post(options: PostOptions | Fork): Promise<Message> {
    const message = this.#draft(options);
    checkMessage(message);
    const edit = this.#write((document) => putMessage(document, message));
    await edit.saved;
    return new Message(this, message.id, edit);
  }

  #draft(options: PostOptions): NewMessage {
    const { id, at } = this.#clock.next();
    const [kind = "", ...name] = this.subject.split(":");
    return {
      id,
      role: options.role ?? "user",
      author: { kind: kind || "user", name: name.join(":") },
      createdAt: at,
      parts: options.parts ?? [],
      to: options.to ?? [],
      parent: options.parent,
      forkOf: options.forkOf,
      expiresAt: options.expiresInMs === undefined ? undefined : at + Math.round(options.expiresInMs),
      metadata: options.metadata,
    };
  }

  #write(change: (document: Y.Doc) => void): Edit {
    if (this.#closed !== null) throw this.#closedError();
    return this.#replica.edit("transcript", change);
  }

  #closedError(): LocalProtocolError {
    return new LocalProtocolError(`session ${this.id} is closed here: open it again`, "closed");
  }

  #changed(change: ReplicaChange): void {
    switch (change.kind) {
      case "transcript":
        this.#transcript.touch(change.entries);
        this.#runs.touch(change.entries);
        this.#commands.touch(change.entries);
        if (change.entries.some(([root]) => root === "reads")) this.#reads = null;
        this.#feed.transcript(change.entries, change.own);
        break;
      case "state":
        this.#feed.state(change.names, change.own);
        break;
      case "presence":
        this.#feed.presence(this.presence.refresh());
        break;
      case "status":
        this.#feed.status();
        this.#feed.presence(this.presence.refresh());
        break;
      case "caught-up":
        this.#feed.caughtUp(change.count);
        break;
      case "refused":
        this.#feed.refused(change.edit.code, change.edit.reason);
        break;
      case "reloaded":
        this.#reloaded();
        break;
      case "unsynced":
        break;
    }
    this.#version++;
    this.#listeners.tell();
  }

  #reloaded(): void {
    for (const part of [this.#transcript, this.#runs, this.#commands]) part.reset();
    this.#reads = null;
    const transcript = this.#replica.document("transcript");
    for (const root of ["messages", "runs", "commands", "reads"]) {
      this.#feed.transcript(
        Array.from(transcript.getMap(root).keys(), (key) => [root, key] as const),
        false,
      );
    }
    this.#feed.state(this.#replica.document("state").share.keys(), false);
  }
}

function sameRights(one: ReadonlySet<Right>, other: ReadonlySet<Right>): boolean {
  return one.size === other.size && [...one].every((right) => other.has(right));
}
