// How much a browser loads, gzipped: the library with Yjs, and the console's first load if it is built. Fails above the
// limits. KB are 1,000 bytes.
import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

const LIBRARY_KB_MAX = 45;
const CONSOLE_KB_MAX = 90;
const PLACE = resolve(import.meta.dirname, "..");
const ENTRY = resolve(PLACE, process.env.ENTRY ?? "src/index.ts");
const CONSOLE = resolve(PLACE, "../syncd/static");

/** Return the bytes of what `entry` needs at once, and of what it loads when this tab is the one that connects. */
async function bundled(entry, external = []) {
  const bundle = await rolldown({ cwd: PLACE, input: { entry }, external, preserveEntrySignatures: "allow-extension" });
  const { output } = await bundle.generate({ format: "es", minify: true, entryFileNames: "[name].js" });
  await bundle.close();
  const chunks = new Map(output.map((chunk) => [chunk.fileName, chunk]));
  const wanted = ["entry.js"];
  for (const name of wanted)
    wanted.push(...chunks.get(name).imports.filter((more) => chunks.has(more) && !wanted.includes(more)));
  const size = (names) => names.reduce((sum, name) => sum + gzipSync(chunks.get(name).code, { level: 9 }).length, 0);
  return { atOnce: size(wanted), later: size([...chunks.keys()].filter((name) => !wanted.includes(name))) };
}

/** Return the bytes of a page and of the scripts and styles that it names. */
function firstLoad(place) {
  const page = readFileSync(resolve(place, "index.html"), "utf8");
  const named = [...page.matchAll(/(?:src|href)="([^"]+\.(?:js|css))"/g)].map(([, path]) => path);
  if (named.length === 0) throw new Error("the console's page names no script");
  const files = [page, ...new Set(named)].map((path, at) =>
    at === 0 ? page : readFileSync(resolve(place, `.${path}`)),
  );
  return files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
}

let failed = false;
function report(what, bytes, kbMax = Infinity) {
  const tooLarge = bytes > kbMax * 1_000;
  failed ||= tooLarge;
  const limit = kbMax === Infinity ? "" : `, ${tooLarge ? "OVER" : "of"} ${kbMax}`;
  console.log(`${(bytes / 1_000).toFixed(1).padStart(6)} KB gz${limit}: ${what}`);
}

if (!existsSync(ENTRY)) throw new Error(`${ENTRY} is not there: name another file in ENTRY`);
const { atOnce, later } = await bundled(ENTRY);
report(`${basename(ENTRY)} with all it needs to open, read, write and save`, atOnce, LIBRARY_KB_MAX);
report("beside it, in the one tab that connects", later);
report("of the former, our own", (await bundled(ENTRY, [/^yjs$/, /^lib0/, /^y-protocols/])).atOnce);
if (existsSync(resolve(CONSOLE, "index.html"))) report("the console's first load", firstLoad(CONSOLE), CONSOLE_KB_MAX);
else console.log("       The console is not built: npm run build:app");
if (failed) process.exitCode = 1;
