/** Written: all that a session can write, and what two people wrote at once, for a real server's code to check. */

import type { Session } from "../src/session.js";
import { pair } from "./pair.js";

/** Write all that a session can write. */
export async function writeAll(session: Session): Promise<void> {
  const question = await session.post("Two days?", {
    to: ["agent:planner"],
    parts: [{ type: "file", name: "map.pdf" }],
  });
  const answer = await session.post("x".repeat(20_000), { role: "assistant", parent: question.id });
  await session.edit(question.id, "Three days?");
  await session.regenerate(answer.id, { to: "agent:planner" });
  const stream = session.stream({ parent: question.id });
  stream.reasoning("Mother does not walk far. ");
  for (let at = 0; at < 30; at++) {
    stream.text("word ".repeat(200));
    await stream.flush();
  }
  stream.part({ type: "source-url", url: "https://example.com" });
  stream.text("after");
  await stream.close();
  await session.markRead(1);
  await session.cancel({ message: question.id });
  await session.approve("r-1", { ok: true });
  await session.assign("user:tom", { note: "yours" });
}

/** The pushes of two people who write all they can, twice, in the order a server took them, and what came of them. */
export async function written(): Promise<unknown> {
  const { server, mona, tom } = pair();
  const pushes: { by: string; layer: string; hex: string }[] = [];
  server.refuse = ({ subject }, layer, update) => {
    pushes.push({ by: subject.slice("user:".length), layer, hex: Buffer.from(update).toString("hex") });
    return null;
  };
  for (let round = 0; round < 2; round++) {
    await Promise.all([writeAll(mona), writeAll(tom)]);
    for (const session of [mona, tom]) session.state.map("screen").set(`tab ${round}`, { of: session.subject });
    for (const session of [mona, tom]) session.state.text("notes").insert(0, `${session.subject} 🙂 `);
    await Promise.all([mona.synced(), tom.synced()]);
  }
  await mona.until(() => (mona.messages().every((view) => view.seq !== null) ? true : null));
  await mona.until(() => (mona.commands().every((view) => view.receipt !== null) ? true : null));
  const messages = mona.messages().map((view) => {
    const { id, seq, by, role, text, to, parts, parent, forkOf, metadata } = view;
    return { id, seq, by, role, text, to, parts, parent, fork_of: forkOf, metadata };
  });
  const commands = mona.commands().map(({ id, kind, receipt }) => [id, kind, receipt!.seq, receipt!.by]);
  return { pushes, messages, commands, reads: Object.fromEntries(mona.reads()), state: mona.state.json() };
}
