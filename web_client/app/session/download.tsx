/** Download: a session as a file of its own, from what is on this device. */

import { useState } from "preact/hooks";
import { useAsk, useHere } from "./here.js";
import { titled } from "../people/names.js";
import type { Shelf } from "../list/shelf.js";

const NAME_CHARS = 80;
/** How long the browser has to begin with a file before its address is taken back, milliseconds. */
const BEGIN_MS = 60_000;

export function Download({ shelf }: { shelf: Shelf }) {
  const { session } = useHere();
  const ask = useAsk();
  const [busy, setBusy] = useState(false);
  const download = async () => {
    setBusy(true);
    try {
      const search = await shelf.searching();
      save(await search.download(session.id), `${fileName(session.summary().title, session.id)}.sqlite`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button
      disabled={busy}
      title="All of this session, as a database file, from this device"
      onClick={() => ask(download)}
    >
      Download as .sqlite
    </button>
  );
}

/** What a session's file is called, without its ending: the title, as far as every system allows it. */
export function fileName(title: string, id: string): string {
  const name = titled(title)
    .replace(/[\\/:*?"<>|]+/g, " ")
    .replace(/\s+/g, " ")
    .replace(/^[\s.]+/, "");
  return (
    [...name]
      .slice(0, NAME_CHARS)
      .join("")
      .replace(/[\s.]+$/, "") || id
  );
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), BEGIN_MS);
}
