// Puts a compressed file beside each of the console's that gains by it; the server sends those to whoever unpacks.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const built = join(dirname(fileURLToPath(import.meta.url)), "../syncd/static");

for (const name of readdirSync(built, { recursive: true, encoding: "utf8" })) {
  const path = join(built, name);
  if (!/\.(css|html|js|svg|wasm|webmanifest)$/.test(name) || statSync(path).size < 1_000) continue;
  const packed = gzipSync(readFileSync(path), { level: 9 });
  if (packed.length < 0.9 * statSync(path).size) writeFileSync(`${path}.gz`, packed);
}
