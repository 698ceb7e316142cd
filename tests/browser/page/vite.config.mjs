// How the bare pages of the browser tests are built: each NAME.ts here is a script of its own, for NAME.html.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, "../../../web_client/node_modules");
const pages = readdirSync(here).filter((name) => name.endsWith(".ts"));

export default {
  root: here,
  // A page finds what the library finds.
  resolve: {
    alias: ["yjs", "lib0", "react", "react-dom"].map((name) => ({ find: name, replacement: join(packages, name) })),
  },
  build: {
    target: "es2022",
    emptyOutDir: true,
    minify: false,
    rollupOptions: {
      input: Object.fromEntries(pages.map((name) => [name.replace(/\.ts$/, ""), join(here, name)])),
      preserveEntrySignatures: "strict",
      // What several pages load is not to be taken for what it names, such as a worker.
      output: { entryFileNames: "assets/[name].js", chunkFileNames: "assets/shared-[name]-[hash].js" },
    },
  },
};
