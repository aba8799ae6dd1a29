import * as path from "node:path"
import type { DatabaseSync } from "node:sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { systemProblem } from "../settings/systemProblem.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { migrate } from "./migrations.ts"
import { setAside } from "./setAside.ts"
import { openSqlite, sqliteCode, sqliteClient } from "./SqliteClient.ts"
import { StoreUnusable } from "./storeErrors.ts"

// "rbee" as a number; SQLite stores it in the file's header.
const applicationId = 0x72_62_65_65
const busy = 5
const damagedCodes: ReadonlySet<number> = new Set([11, 26])

// A stopping daemon has released its store after this time.
const lockTimeout = Schedule.spaced("100 millis").pipe(Schedule.upTo({ times: 10 }))

const causeOf = (error: { readonly reason: { readonly cause: unknown } }) => error.reason.cause

const toUnusable = (file: string) => (error: unknown) => {
  const sqlite = sqliteCode(error)
  const detail = sqlite !== undefined && error instanceof Error ? error.message : systemProblem(error)
  const code = (sqlite ?? 0) & 0xff
  const reason = code === busy ? "in_use" : damagedCodes.has(code) ? "damaged" : "system"
  return new StoreUnusable({ file, reason, detail })
}

const readNumber = (db: DatabaseSync, sql: string) => Number(Object.values(db.prepare(sql).get() ?? {})[0])

/** Takes the file for this process until the database is closed, and refuses databases of other programs. */
const claim = (db: DatabaseSync, file: string, sync: "full" | "process") => {
  db.exec("PRAGMA locking_mode = EXCLUSIVE")
  const owner = readNumber(db, "PRAGMA application_id")
  if (owner !== applicationId && readNumber(db, "SELECT count(*) FROM sqlite_master") > 0) {
    throw new StoreUnusable({ file, reason: "foreign", detail: "" })
  }
  db.exec(`PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${sync === "full" ? "FULL" : "NORMAL"};
    PRAGMA application_id = ${applicationId};
    BEGIN IMMEDIATE; COMMIT`)
}

const openOnce = Effect.fnUntraced(function* (file: string, sync: "full" | "process") {
  const fs = yield* FileSystem.FileSystem
  // SQLite gives the file, which has requests of users, the mode of the process, and its other files that of this one.
  yield* Effect.mapError(fs.writeFileString(file, "", { flag: "a", mode: 0o600 }), toUnusable(file))
  const db = yield* Effect.mapError(openSqlite(file), (error) => toUnusable(file)(causeOf(error)))
  yield* Effect.try({
    try: () => claim(db, file, sync),
    catch: (error) => (error instanceof StoreUnusable ? error : toUnusable(file)(error))
  })
  const context = yield* Layer.build(sqliteClient(db))
  yield* Effect.provideContext(migrate, context).pipe(
    Effect.mapError((error) => new StoreUnusable({ file, reason: "damaged", detail: error.message }))
  )
  return Context.get(context, SqlClient.SqlClient)
})

/**
 * Opens the database of a store for this process alone, and creates or migrates its tables. A damaged or foreign file is
 * set aside with a logged message, and a new one is created.
 */
export const openDatabase = Effect.fnUntraced(function* (
  file: string,
  sync: "full" | "process"
): Effect.fn.Return<SqlClient.SqlClient, StoreUnusable, FileSystem.FileSystem | Scope.Scope> {
  yield* Effect.mapError(makeFolder(path.dirname(file), 0o700), toUnusable(file))
  const open = Effect.retry(openOnce(file, sync), {
    schedule: lockTimeout,
    while: ({ reason }) => reason === "in_use"
  })
  return yield* Effect.catchIf(
    open,
    ({ reason }) => reason === "damaged" || reason === "foreign",
    (error) =>
      setAside([file, `${file}-wal`, `${file}-shm`], error.message).pipe(
        Effect.mapError(toUnusable(file)),
        Effect.andThen(openOnce(file, sync))
      )
  )
})
