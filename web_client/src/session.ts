/**
 * Session: the conversation that a session's documents hold: its messages, branches, runs and commands. On top of the
 * core's session, which replicates them.
 *
 * Works on the transcript. Knows nothing of sockets, stores or tabs.
 */

import type { Attending } from "./attending.js";
import type { Attention } from "./attention.js";
import { Changes, Feed } from "./changes.js";
import { Command, Commanding, Commands, putCommand } from "./commands.js";
import type { CommandOptions, CommandView } from "./commands.js";
import { LocalProtocolError } from "./core/errors.js";
import { editOf, regenerationOf, textPart } from "./forks.js";
import type { Fork } from "./forks.js";
import { Clock } from "./core/ids.js";
import type { Json, PresenceEntry } from "./core/messages.js";
import { putMessage } from "./parts.js";
import type { Person } from "./people.js";
import { Message } from "./posted.js";
import type { PostOptions } from "./posted.js";
import type { Replica, ReplicaChange } from "./core/replica.js";
import type { SessionOptions } from "./core/session.js";
import { Runs } from "./runs.js";
import type { Decision, Handover, RunView } from "./runs.js";
import { checkCommand, checkMessage } from "./schema.js";
import type { NewCommand, NewMessage } from "./schema.js";
import { Stream } from "./stream.js";
import { approvalsOf, summaryOf } from "./summary.js";
import type { Approval, Summary } from "./summary.js";
import { Transcript, putRead, readRead } from "./transcript.js";
import type { MessageView } from "./transcript.js";
import { View } from "./view.js";
import type { ViewOptions } from "./view.js";

const NOBODY: readonly Person[] = [];

/**
 * One session in this tab, as a conversation. Open it with `Client.open`.
 *
 * 1. `post`, commands and a stream's end resolve when they are saved.
 */
export class Session extends Commanding {
  readonly #transcript: Transcript;
  readonly #runs: Runs;
  readonly #commands: Commands;
  readonly #feed: Feed;
  readonly #clock: Clock;
  #reads: Map<string, number> | null = null;
  #attending: Attending | null = null;
  #shown = true;
  #ended = false;

  /** Called by `Client.open`. */
  constructor(replica: Replica, { now = Date.now, ...options }: SessionOptions & { now?: () => number } = {}) {
    super(replica, options);
    const transcript = () => replica.document("transcript");
    this.#transcript = new Transcript(transcript);
    this.#runs = new Runs(transcript);
    this.#commands = new Commands(transcript);
    this.#feed = new Feed(this);
    this.#clock = new Clock(now);
  }

  override close(): Promise<void> {
    this.#ended = true;
    this.#attending?.close();
    return super.close().finally(() => this.#feed.close());
  }

  // Who is there

  /**
   * Everybody on this session, each once over all devices and tabs, the most present first: this subject too, as its
   * other tabs and devices and this one are. The same array until something in it is another.
   */
  people(): readonly Person[] {
    return this.#attending?.people() ?? NOBODY;
  }

  /**
   * Say whether this page shows the session, as it is taken to do from its opening on: one that is only kept open is
   * not looked at, whatever the person does with the page.
   */
  attend(shown: boolean): void {
    this.#shown = shown;
    this.#attending?.attend(shown);
  }

  /** Have the code that reckons who is there, and says what this page's person does. Called by `Client.open`. */
  follow(kind: typeof Attending, attention: Attention): void {
    if (!this.#ended) this.#attending = new kind(this, attention, this.#shown, () => this.tell());
    this.tell();
  }

  // Reading

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

  /**
   * This copy's messages that hold all words of `query`, newest first. The last word may be a beginning.
   *
   * Its code is loaded when something is first looked for. Rejects if that cannot be had.
   */
  async search(query: string, { limit = 50 }: { limit?: number } = {}): Promise<readonly MessageView[]> {
    const { matching } = await import("./search/scan.js");
    return matching(this.messages(), query, limit);
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
      for (const [subject, value] of this.document("transcript").getMap("reads").entries()) {
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

  /** The messages that a run's agent wrote in it, in order. */
  messagesOf(run: string): readonly MessageView[] {
    return this.#transcript.ofRun(run).filter((message) => this.outputOf(message) !== null);
  }

  /** The run that a message is output of; null if its author is not that run's agent. */
  outputOf(message: MessageView): RunView | null {
    return this.#runs.outputOf(message);
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
    const documents = { transcript: this.document("transcript"), state: this.document("state") };
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
    return new Stream(this, message);
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
    const edit = this.transact("transcript", (document) => putCommand(document, command));
    await edit.saved;
    return new Command(this, id, kind, target, edit);
  }

  /** Say that this subject has read up to `seq`, the newest without one. Resolves when it is saved. */
  async markRead(seq: number = this.seq): Promise<void> {
    const { subject } = this;
    if (subject === "" || (this.reads().get(subject) ?? -1) >= seq) return;
    await this.transact("transcript", (document) => putRead(document, subject, seq, this.#clock.next().at)).saved;
  }

  // Inside

  async #post(options: PostOptions | Fork): Promise<Message> {
    const message = this.#draft(options);
    checkMessage(message);
    const edit = this.transact("transcript", (document) => putMessage(document, message));
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

  protected override changed(change: ReplicaChange, present: readonly PresenceEntry[]): void {
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
      case "status":
        this.#feed.status();
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
    }
    if (present.length > 0) this.#attending?.take(present);
    this.#feed.presence(present);
  }

  #reloaded(): void {
    for (const part of [this.#transcript, this.#runs, this.#commands]) part.reset();
    this.#reads = null;
    const transcript = this.document("transcript");
    for (const root of ["messages", "runs", "commands", "reads"]) {
      this.#feed.transcript(
        Array.from(transcript.getMap(root).keys(), (key) => [root, key] as const),
        false,
      );
    }
    this.#feed.state(this.document("state").share.keys(), false);
  }
}
