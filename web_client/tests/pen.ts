/** Pen: somebody who writes by hand: every call returns the update, or a stored row of it. */

import * as Y from "yjs";
import type { Layer } from "../src/core/messages.js";
import type { OwnRow } from "../src/core/uplink.js";

let rows = 0;

export class Pen {
  readonly document = new Y.Doc();

  constructor(readonly id: number) {
    this.document.clientID = id;
  }

  /** What a change comes to. */
  write(change: (document: Y.Doc) => void): Uint8Array {
    const before = Y.encodeStateVector(this.document);
    let update: Uint8Array | null = null;
    const note = (made: Uint8Array): void => void (update = made);
    this.document.on("update", note);
    this.document.transact(() => change(this.document));
    this.document.off("update", note);
    return update ?? Y.encodeStateAsUpdate(this.document, before);
  }

  read(update: Uint8Array): void {
    Y.applyUpdate(this.document, update);
  }

  message(id: string, text = ""): OwnRow {
    return row(
      "transcript",
      this.write((doc) => doc.getMap("messages").set(id, new Y.Map([["text", text]]))),
    );
  }

  append(text: string): OwnRow {
    return row(
      "state",
      this.write((doc) => doc.getText("t").insert(doc.getText("t").length, text)),
    );
  }
}

/** Rows that delete what so many others wrote, a share of them each, and what these wrote. */
export function deletions(others: number, shares: number): { readonly theirs: Uint8Array; readonly rows: OwnRow[] } {
  const pen = new Pen(2 ** 40);
  for (let id = 1; id <= others; id++) {
    pen.document.clientID = 10_000 + id;
    pen.document.getMap("ui").set(`${id}`, 1);
  }
  pen.document.clientID = pen.id;
  const theirs = Y.encodeStateAsUpdate(pen.document);
  const share = others / shares;
  const rows = Array.from({ length: shares }, (_, at) =>
    row(
      "state",
      pen.write((doc) => {
        for (let id = at * share + 1; id <= (at + 1) * share; id++) doc.getMap("ui").delete(`${id}`);
      }),
    ),
  );
  return { theirs, rows };
}

/** A row of an update, behind all rows made before. */
export function row(layer: Layer, update: Uint8Array): OwnRow {
  return { row: ++rows, layer, update };
}
