// How much a browser loads, gzipped, in KB of 1,000 bytes. Fails above the limits.
//
// 1. The core: all that it takes to open, read, write, save and sync, with Yjs and with the part of the one tab that
//    connects. The whole library likewise.
// 2. The console, if it is built: all that is loaded until a session with agents' answers is shown and synced.
//
// With the argument `first-load` it prints the names of the files of 2 and does nothing else.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

const CORE_KB_MAX = 45;
const LIBRARY_KB_MAX = 57;
const CONSOLE_KB_MAX = 90;

const PLACE = resolve(import.meta.dirname, "..");
const CONSOLE = resolve(PLACE, "../syncd/static");
/** What Vite says of the chunks it made; `pack.mjs` puts it here. */
const MANIFEST = resolve(PLACE, "build/console.json");
/** What the opening of a session loads beside the page's own script: answers are Markdown, and the panel stands open. */
const OPENING = ["transcript/markdown.tsx", "panel/panel.tsx"];

const gzipped = (content) => gzipSync(content, { level: 9 }).length;

/** Return the bytes of what `entry` needs: at once, and in all with what it loads later unless that is `seldom`. */
async function bundled(entry, { seldom = /^$/, external = [] } = {}) {
  const input = { entry: resolve(PLACE, entry) };
  const bundle = await rolldown({ cwd: PLACE, input, external, preserveEntrySignatures: "allow-extension" });
  const { output } = await bundle.generate({ format: "es", minify: true, entryFileNames: "[name].js" });
  await bundle.close();
  const chunks = new Map(output.map((chunk) => [chunk.fileName, chunk]));
  const size = (roots, later) => {
    const wanted = [...roots];
    for (const name of wanted) {
      const { imports, dynamicImports } = chunks.get(name);
      const more = [...imports, ...(later ? dynamicImports : [])];
      wanted.push(...more.filter((each) => chunks.has(each) && !seldom.test(each) && !wanted.includes(each)));
    }
    return wanted.reduce((sum, name) => sum + gzipped(chunks.get(name).code), 0);
  };
  return { atOnce: size(["entry.js"], false), all: size(["entry.js"], true) };
}

/** Return the files that are loaded until a session is shown and synced, as paths in `CONSOLE`. */
function firstLoad() {
  const manifest = JSON.parse(readFileSync(MANIFEST, "utf8"));
  const wanted = ["index.html", ...OPENING];
  for (const name of wanted) {
    if (manifest[name] === undefined) throw new Error(`the console has no chunk ${name}: mend the list in size.mjs`);
    wanted.push(...(manifest[name].imports ?? []).filter((each) => !wanted.includes(each)));
  }
  const files = wanted.flatMap((name) => [manifest[name].file, ...(manifest[name].css ?? [])]);
  return ["index.html", ...new Set(files)];
}

let failed = false;
function report(what, bytes, kbMax = Infinity) {
  const tooLarge = bytes > kbMax * 1_000;
  failed ||= tooLarge;
  const limit = kbMax === Infinity ? "" : `, ${tooLarge ? "OVER" : "of"} ${kbMax}`;
  console.log(`${(bytes / 1_000).toFixed(1).padStart(6)} KB gz${limit}: ${what}`);
}

async function measured() {
  const core = await bundled("src/core/index.ts");
  report("the core with all that it takes to open, read, write, save and sync", core.all, CORE_KB_MAX);
  report("of it, what a tab needs that does not connect", core.atOnce);
  report("of it, our own", (await bundled("src/core/index.ts", { external: [/^yjs$/, /^lib0/] })).all);
  // The search is loaded when something is first looked for, a list of sessions when one is first asked for.
  const library = await bundled("src/index.ts", { seldom: /^(everywhere|scan|words|session_list|summaries)/ });
  report("the whole library, likewise", library.all, LIBRARY_KB_MAX);
  report("of it, what a tab needs that does not connect", library.atOnce);
  if (!existsSync(MANIFEST) || !existsSync(resolve(CONSOLE, "index.html"))) {
    console.log("       The console is not built: npm run build:app");
    return;
  }
  const sizes = firstLoad().map((file) => [file, gzipped(readFileSync(resolve(CONSOLE, file)))]);
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  report("the console, until a session is shown and synced", all, CONSOLE_KB_MAX);
  for (const [file, size] of sizes) report(`  ${file}`, size);
}

if (process.argv[2] === "first-load") console.log(JSON.stringify(firstLoad()));
else await measured();
if (failed) process.exitCode = 1;
