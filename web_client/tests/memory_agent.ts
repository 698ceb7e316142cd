/** MemoryAgent: writes runs as an agent does, on a `MemoryReplica`: attempts, messages, tool calls and their states. */

import * as Y from "yjs";
import { runKey, uuid7 } from "../src/core/ids.js";
import type { JsonMap } from "../src/core/messages.js";
import type { Part } from "../src/schema.js";
import { PartWriter, putMessage } from "../src/parts.js";
import type { MemoryReplica } from "./memory_replica.js";

/** One attempt of one run, being written. */
export class MemoryRun {
  #writer: PartWriter | null = null;
  #message = "";

  constructor(
    readonly replica: MemoryReplica,
    readonly run: string,
    readonly attempt = 1,
    readonly fields: JsonMap = {},
  ) {
    const begun = { run, attempt, agent: replica.subject, status: "running", started_at: Date.now(), ...fields };
    const entry = new Y.Map<unknown>(Object.entries({ ...begun, consumed: new Y.Map() }));
    replica.edit("transcript", (document) => void document.getMap("runs").set(runKey(run, attempt), entry));
  }

  /** Begin a message: what is written next goes to it. Returns its id. */
  begin(parent: string | null = (this.fields["message"] as string | undefined) ?? null): string {
    const [kind = "", name = ""] = this.replica.subject.split(":");
    this.#message = uuid7(Date.now());
    const { run, attempt } = this;
    const message = { id: this.#message, role: "assistant" as const, author: { kind, name }, parts: [], to: [] };
    this.replica.edit("transcript", (document) =>
      putMessage(document, { ...message, createdAt: Date.now(), run, attempt, parent }),
    );
    this.#writer = new PartWriter(this.#message);
    return this.#message;
  }

  text(text: string, type: "text" | "reasoning" = "text"): void {
    this.replica.edit("transcript", (document) => this.#writer!.append(document, type, text));
  }

  /** Add a part; returns what changes fields of it later. */
  part(part: Part): (fields: JsonMap) => void {
    const message = this.#message;
    const parts = (document: Y.Doc) =>
      (document.getMap("messages").get(message) as Y.Map<Y.Array<Y.Map<unknown>>>).get("parts")!;
    this.replica.edit("transcript", (document) => this.#writer!.addPart(document, part));
    const index = parts(this.replica.document("transcript")).length - 1;
    return (changed) =>
      void this.replica.edit("transcript", (document) => {
        for (const [field, value] of Object.entries(changed)) parts(document).get(index).set(field, value);
      });
  }

  /** Set fields of the attempt, such as `status`. */
  set(fields: JsonMap): void {
    this.replica.edit("transcript", (document) => {
      const entry = document.getMap("runs").get(runKey(this.run, this.attempt)) as Y.Map<unknown>;
      for (const [field, value] of Object.entries(fields)) entry.set(field, value);
    });
  }

  end(status: "completed" | "failed" | "cancelled" = "completed", fields: JsonMap = {}): void {
    if (this.#writer !== null) this.replica.edit("transcript", (document) => this.#writer!.finish(document));
    this.set({ ended_at: Date.now(), ...fields, status });
  }
}
