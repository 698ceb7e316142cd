// Prints what two people write with this client, and what they then see: `node tests/write.mjs`.
import { runnerImport } from "vite";

const { module } = await runnerImport(new URL("written.ts", import.meta.url).pathname);
process.stdout.write(JSON.stringify(await module.written()));
