/** Turns: long work on a page's thread in pieces, so that it stays fluent. Knows nothing of the work. */

/** How long a piece may be: half a frame. */
const TURN_MS = 8;
/** Steps between two looks at the clock. */
const STRIDE = 32;

/** Ask `isDue` at every small step, and await `next` when it is. */
export class Turns {
  #count = 0;
  #endMs = performance.now() + TURN_MS;

  get isDue(): boolean {
    return ++this.#count % STRIDE === 0 && performance.now() > this.#endMs;
  }

  /** Let the event loop do what else there is. Not by a timer: those of a hidden tab wait for a second. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    this.#endMs = performance.now() + TURN_MS;
  }
}
