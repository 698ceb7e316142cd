/** Entities: `&lt;` and the like in a Markdown text. The few that people write; any other shows as it is written. */

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  reg: "®",
  trade: "™",
  hellip: "…",
  mdash: "—",
  ndash: "–",
  larr: "←",
  rarr: "→",
  euro: "€",
  deg: "°",
  times: "×",
  middot: "·",
  bull: "•",
};

const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/g;

/** Put characters in place of their entities. The result is text, never markup. */
export function unescapeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (whole, decimal?: string, hexadecimal?: string, name?: string) => {
    if (name !== undefined) return Object.hasOwn(NAMED, name) ? NAMED[name]! : whole;
    const point = decimal !== undefined ? Number(decimal) : parseInt(hexadecimal!, 16);
    const none = point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000);
    return none ? "\ufffd" : String.fromCodePoint(point);
  });
}
