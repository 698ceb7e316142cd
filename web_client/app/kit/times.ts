/** Times as people read them. All arguments are milliseconds; times of day are this device's. */

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
] as const;

/** A number with two digits. */
export const two = (value: number) => String(value).padStart(2, "0");

/** The time of day, with the day if it is not that of `nowMs`. */
export function clock(atMs: number, nowMs: number = Date.now()): string {
  const at = new Date(atMs);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (at.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })} ${time}`;
}

/** The time of day with seconds, for a list of what happened. */
export function clockSeconds(atMs: number): string {
  const at = new Date(atMs);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The day, to stand above what was said on it. */
export function day(atMs: number): string {
  return new Date(atMs).toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
}

/** How long something took: `1.2 s`, `42 s`, `3 min`, `5 h`, `2 d`. */
export function lasted(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  for (const [unit, length] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  return seconds < 10 ? `${Math.round(seconds * 10) / 10} s` : `${Math.floor(seconds)} s`;
}

/** How long ago: `just now`, `3 min ago`. */
export function ago(atMs: number, nowMs: number = Date.now()): string {
  return nowMs - atMs < 60_000 ? "just now" : `${lasted(nowMs - atMs)} ago`;
}
