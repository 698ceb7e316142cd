// Puts a compressed file beside each of the console's that gains by it; the server sends those to whoever unpacks.
// What Vite says of the chunks goes where only the measuring of sizes needs it.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const built = resolve(import.meta.dirname, "../syncd/static");
const build = resolve(import.meta.dirname, "build");

mkdirSync(build, { recursive: true });
renameSync(join(built, ".vite/manifest.json"), join(build, "console.json"));
rmdirSync(join(built, ".vite"));

for (const name of readdirSync(built, { recursive: true, encoding: "utf8" })) {
  const path = join(built, name);
  if (!/\.(css|html|js|svg|wasm|webmanifest)$/.test(name) || statSync(path).size < 1_000) continue;
  const packed = gzipSync(readFileSync(path), { level: 9 });
  if (packed.length < 0.9 * statSync(path).size) writeFileSync(`${path}.gz`, packed);
}
