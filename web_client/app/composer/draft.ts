/**
 * Draft: what somebody wrote in a session and did not send. Kept on this device, over reloads, for each person apart.
 *
 * 1. What is being sent is kept until it is saved.
 * 2. After a reload a tab has its own again, whatever other tabs wrote; a new tab has what was written last.
 */

export class Draft {
  /** What is in the field. */
  text: string;
  readonly #name: string;
  #sending: string[] = [];
  #kept: string;

  constructor(subject: string, session: string) {
    this.#name = `syncd:draft:${subject}:${session}`;
    this.#kept = sessionStorage.getItem(this.#name) ?? localStorage.getItem(this.#name) ?? "";
    this.text = this.#kept;
  }

  write(text: string): void {
    this.text = text;
    const all = [...this.#sending, text].filter(Boolean).join("\n");
    if (all) for (const storage of [sessionStorage, localStorage]) storage.setItem(this.#name, all);
    else {
      sessionStorage.removeItem(this.#name);
      // Another tab's is left to it.
      if (localStorage.getItem(this.#name) === this.#kept) localStorage.removeItem(this.#name);
    }
    this.#kept = all;
  }

  /**
   * Empty the field, and have what was in it saved. What is written meanwhile stays; where saving fails the text is put
   * back in front of it, and the failure is the caller's.
   */
  async send(save: () => Promise<unknown>): Promise<void> {
    const sent = this.text;
    this.#sending.push(sent);
    this.text = "";
    let rest = () => this.text;
    try {
      await save();
    } catch (error) {
      rest = () => [sent, this.text].filter(Boolean).join("\n");
      throw error;
    } finally {
      this.#sending.splice(this.#sending.indexOf(sent), 1);
      this.write(rest());
    }
  }
}
