/** How the console is built: `app/` into the folder that the server serves. */

import { defineConfig, type Plugin } from "vite";

const here = import.meta.dirname;

/**
 * Tell the service worker what the console consists of, and give it its fixed name.
 *
 * Its text changes with the list, so a browser sees a new console by the worker alone. Other workers and what they load
 * are no chunks of the console but assets of it: they are not in the list, and kept when they are first used.
 */
function shell(): Plugin {
  return {
    name: "shell",
    generateBundle: {
      // Behind the others: one of them takes away the page's own script where nothing is left in it.
      order: "post",
      handler(_options, bundle) {
        const isShell = ([name, { type }]: [string, { type: string }]) => type === "chunk" || name.endsWith(".css");
        const files = Object.entries(bundle)
          .filter(isShell)
          .map(([name]) => name)
          .filter((name) => name !== "sw.js");
        const shellPaths = ["/", "/manifest.webmanifest", "/icon.svg", ...files.map((name) => `/${name}`)];
        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") throw new Error("the service worker was not built");
        if (!worker.code.includes("__SHELL__")) throw new Error("the service worker has no place for the shell");
        worker.code = worker.code.replace("__SHELL__", JSON.stringify(shellPaths.sort()));
      },
    },
  };
}

/**
 * Load what is loaded later by nothing but `import()`: no chunk has styles of its own, and the worker has the rest.
 * What Vite would do around each would be two thirds of a kilobyte.
 */
function bareImports(): Plugin {
  return {
    name: "bare-imports",
    enforce: "pre",
    load: (id) => (id === "\0vite/preload-helper.js" ? "export const __vitePreload = (load) => load();" : null),
  };
}

/** SQLite's package names helpers of ways to use it that are not ours: a quarter of a megabyte that nobody loads. */
function noHelpers(): Plugin {
  return {
    name: "no-helpers",
    generateBundle(_options, bundle) {
      for (const name of Object.keys(bundle)) if (/\/sqlite3-(worker1|opfs-async-proxy)/.test(name)) delete bundle[name];
    },
  };
}

export default defineConfig({
  // Tests are found from the package's root, the console's page in its own folder.
  root: process.env["VITEST"] ? here : `${here}/app`,
  base: "/",
  plugins: [shell(), bareImports(), noHelpers()],
  resolve: { alias: process.env["VITEST"] ? {} : { "lib0/logging": `${here}/app/yjs_log.ts` } },
  build: {
    outDir: `${here}/../syncd/static`,
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    // Inline content is refused by the page's policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: {
      // The library's part that connects is loaded with the rest here: see `main.tsx`.
      checks: { ineffectiveDynamicImport: false },
      input: { index: `${here}/app/index.html`, sw: `${here}/app/sw.ts` },
      output: {
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
        // What is loaded at once is one file: it packs better than several.
        codeSplitting: { groups: [{ name: "console", test: /\/app\/main\.tsx$/ }] },
      },
    },
  },
});
