import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"

type Parameters = ReadonlyArray<unknown>

// Texts of statements with many rows differ with the number of rows.
const maxPrepared = 100

const toInput = (value: unknown): SQLInputValue => {
  if (value === null || value === undefined) return null
  if (typeof value === "boolean") return value ? 1 : 0
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "string") return value
  return value instanceof Uint8Array ? value : JSON.stringify(value)
}

/** SQLite's result code of an error of `node:sqlite`. */
export const sqliteCode = (error: unknown): number | undefined =>
  Predicate.hasProperty(error, "errcode") && typeof error.errcode === "number" ? error.errcode : undefined

const toSqlError = (operation: string) => (error: unknown) => {
  const code = sqliteCode(error)
  const message = error instanceof Error ? error.message : String(error)
  const cause = { errno: code, code, message }
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, { message, operation }) })
}

/** The statements of one database, prepared once. */
class Statements {
  readonly #db: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  prepare(sql: string) {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    if (this.#prepared.size >= maxPrepared) this.#prepared.clear()
    const statement = this.#db.prepare(sql)
    this.#prepared.set(sql, statement)
    return statement
  }

  rows(statement: StatementSync, parameters: Parameters) {
    const inputs = parameters.map(toInput)
    statement.setReturnArrays(false)
    if (statement.columns().length > 0) return statement.all(...inputs)
    statement.run(...inputs)
    return []
  }

  values(statement: StatementSync, parameters: Parameters): ReadonlyArray<ReadonlyArray<unknown>> {
    const inputs = parameters.map(toInput)
    statement.setReturnArrays(true)
    const rows: ReadonlyArray<unknown> = statement.columns().length > 0 ? statement.all(...inputs) : []
    if (rows.length === 0 && statement.columns().length === 0) statement.run(...inputs)
    return rows.map((row) => (Array.isArray(row) ? row : []))
  }
}

const connectionTo = (db: DatabaseSync): SqlConnection.Connection => {
  const statements = new Statements(db)
  const attempt = <A>(operation: string, run: () => A) =>
    Effect.try({ try: run, catch: toSqlError(operation) })
  return {
    execute: (sql, parameters, transform) =>
      attempt("execute", () => {
        const rows = statements.rows(statements.prepare(sql), parameters)
        return transform === undefined ? rows : transform(rows)
      }),
    executeRaw: (sql, parameters) =>
      attempt("executeRaw", () => statements.prepare(sql).run(...parameters.map(toInput))),
    executeValues: (sql, parameters) =>
      attempt("executeValues", () => statements.values(statements.prepare(sql), parameters)),
    executeValuesUnprepared: (sql, parameters) =>
      attempt("executeValues", () => statements.values(db.prepare(sql), parameters)),
    executeUnprepared: (sql, parameters, transform) =>
      attempt("execute", () => {
        const rows = statements.rows(db.prepare(sql), parameters)
        return transform === undefined ? rows : transform(rows)
      }),
    executeStream: (sql, parameters, transform) =>
      Stream.suspend(() => {
        const rows = db.prepare(sql).iterate(...parameters.map(toInput))
        return Stream.map(Stream.fromIterable(rows), (row) =>
          transform === undefined ? row : (transform([row])[0] ?? row)
        )
      })
  }
}

/** Opens a database file, which closes with the scope. Fails with the error of `node:sqlite`. */
export const openSqlite = Effect.fnUntraced(function* (file: string) {
  // Loaded here, because Node 22 prints a warning when it loads the module, and most commands need no database.
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  return yield* Effect.acquireRelease(
    Effect.try({ try: () => new DatabaseSync(file), catch: toSqlError("open") }),
    (db) => Effect.sync(() => db.close())
  )
})

/** An `SqlClient` over one connection, which one transaction at a time has for itself. */
export const sqliteClient = (db: DatabaseSync) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const acquirers = SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connectionTo(db)),
        semaphore: yield* Semaphore.make(1),
        isTransaction: () => db.isTransaction
      })
      const client = yield* SqlClient.make({
        ...acquirers,
        beginTransaction: "BEGIN IMMEDIATE",
        releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
        compiler: Statement.makeCompilerSqlite(),
        driver: "node-sqlite",
        spanAttributes: [["db.system.name", "sqlite"]]
      })
      return Context.make(SqlClient.SqlClient, client)
    })
  ).pipe(Layer.provide(Reactivity.layer))
