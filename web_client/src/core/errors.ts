/** Errors: everything that this library throws. */

export class SyncdError extends Error {
  override name = "SyncdError";
  constructor(
    /** Stable: act on this, not on the message. */
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** You misused the library: the message says how, and what to do instead. */
export class LocalProtocolError extends SyncdError {
  override name = "LocalProtocolError";
  constructor(message: string, code = "misuse") {
    super(code, message);
  }
}

/** The other side sent what no correct one sends; `close` is the close code that says so. PROTOCOL 6. */
export class RemoteProtocolError extends SyncdError {
  override name = "RemoteProtocolError";
  constructor(
    readonly close: number,
    message: string,
  ) {
    super("protocol", message);
  }
}

/** An edit is not on the server and will not be: it was refused, with one of the codes of PROTOCOL 7. */
export class NotSynced extends SyncdError {
  override name = "NotSynced";
}

/** This browser's store cannot be used: nothing was written. */
export class StoreError extends SyncdError {
  override name = "StoreError";
  constructor(message: string, code = "store") {
    super(code, message);
  }
}

/** Not known in time. What was asked stands: ask again. */
export class TimedOut extends SyncdError {
  override name = "TimedOut";
  constructor(message: string) {
    super("timeout", message);
  }
}
