/** Export: a session's content as the bytes of an SQLite file. Works in memory, needs no file system. */

import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { SessionContent } from "./content.js";
import { EXPORT_TABLES } from "./schema.js";

/** The file, self-contained: see `EXPORT_TABLES`. */
export function exported(sqlite3: Sqlite3Static, content: SessionContent): Uint8Array<ArrayBuffer> {
  const database = new sqlite3.oo1.DB(":memory:");
  try {
    database.exec(EXPORT_TABLES);
    database.transaction(() => {
      for (const [table, rows] of Object.entries(content.tables)) {
        const columns = Object.keys(rows[0] ?? {});
        if (columns.length === 0) continue;
        const names = columns.map((name) => `"${name}"`).join(", ");
        const places = columns.map(() => "?").join(", ");
        const statement = database.prepare(`INSERT OR REPLACE INTO "${table}" (${names}) VALUES (${places})`);
        try {
          for (const row of rows) statement.bind(columns.map((name) => row[name] ?? null)).stepReset();
        } finally {
          statement.finalize();
        }
      }
    });
    return sqlite3.capi.sqlite3_js_db_export(database) as Uint8Array<ArrayBuffer>;
  } finally {
    database.close();
  }
}
