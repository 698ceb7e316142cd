/** The connection in four words: what the pill in the header says. Pure. */

import type { Status } from "../../src/core/status.js";
import { plural } from "../people/names.js";

export interface Connection {
  readonly tone: "ok" | "warn" | "bad";
  /** The word, and its number. */
  readonly word: string;
  /** What there is room for on a wide screen. */
  readonly detail: string;
}

/**
 * What to say. `unsynced` are own edits that are not on the server; `caughtUp` how much came with the last reconnect,
 * null when that was long ago; `cut`, that this tab was cut off by hand.
 */
export function connection(
  status: Status,
  { unsynced, caughtUp, cut }: { unsynced: number; caughtUp: number | null; cut: boolean },
): Connection {
  const kept = unsynced > 0 ? `${plural(unsynced, "edit")} saved here` : "";
  if (cut) return { tone: "warn", word: "Offline", detail: kept || "this tab's network is cut" };
  if (status.link === "refused") {
    return {
      tone: "bad",
      word: "Refused",
      detail: [status.reason || `code ${status.code}`, kept].filter(Boolean).join(", "),
    };
  }
  if (status.link === "reconnecting") {
    return { tone: "warn", word: `Reconnecting ${Math.max(1, status.attempts)}`, detail: kept };
  }
  if (status.link === "offline") return { tone: "warn", word: "Offline", detail: kept };
  if (status.storageFull)
    return { tone: "bad", word: "Server full", detail: kept || "nothing new can be stored there" };
  if (caughtUp) return { tone: "ok", word: "Caught up", detail: plural(caughtUp, "event") };
  return { tone: "ok", word: "Live", detail: unsynced > 0 ? `sending ${plural(unsynced, "edit")}` : "" };
}
