/** Elapsed: how long a run is under way, by the server's clock. This device's may be a day wrong. */

import { useEffect, useState } from "preact/hooks";
import { useClock } from "../kit/frame.js";
import { two } from "../kit/times.js";

/** A difference below this may be the network's, and is none, milliseconds. */
const CLOSE_MS = 5_000;

let ahead: Promise<number> | null = null;

/** Not part of what a screen reader is told of the run's state: it would be told every second. */
export function Elapsed({ since }: { since: number }) {
  const now = useClock(true);
  const [by, setBy] = useState<number | null>(null);
  useEffect(() => void (ahead ??= aheadMs()).then(setBy), []);
  return (
    by !== null && (
      <span class="state" aria-hidden="true">
        , {elapsed(now - by - since)}
      </span>
    )
  );
}

/** How far this device's clock is ahead of the server's; 0 where the server does not say. */
async function aheadMs(): Promise<number> {
  try {
    const { headers } = await fetch("/v1/console", { cache: "no-store", credentials: "omit" });
    const ms = Date.now() - Date.parse(headers.get("date") ?? "");
    return Math.abs(ms) > CLOSE_MS ? ms : 0;
  } catch {
    ahead = null;
    return 0;
  }
}

/** How long something is under way: `00:42`, `1:02:03`. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}
