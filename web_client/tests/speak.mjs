// Prints frames and pushes that this client writes, with what they say: `node tests/speak.mjs SEED FRAMES`.
import { runnerImport } from "vite";

const [seed, frames] = process.argv.slice(2).map(Number);
const { module: speech } = await runnerImport(new URL("speech.ts", import.meta.url).pathname);
const { module: random } = await runnerImport(new URL("random.ts", import.meta.url).pathname);
process.stdout.write(JSON.stringify(speech.speech(new random.Random(seed), frames)));
