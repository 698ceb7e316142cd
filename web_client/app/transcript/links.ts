/** Links that others wrote: which of them may be followed. */

const SAFE_PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** Where a link leads to; undefined if it must not be followed. */
export function safeHref(href: string): string | undefined {
  try {
    // Without a base, a relative link is none: what a message says is not on this server.
    const url = new URL(href.trim());
    return SAFE_PROTOCOLS.has(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}
