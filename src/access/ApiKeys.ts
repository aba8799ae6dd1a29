import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { type LockHeld, withLock } from "../system/FileLock.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { Pids } from "../system/Pids.ts"
import {
  type ApiKey,
  ApiKeyExists,
  type ApiKeyNotFound,
  byHash,
  generate,
  has,
  hashOf,
  type InvalidApiKey,
  type StoredApiKey,
  type NewApiKey,
  newRecord,
  notFound,
  parseKeys,
  printKeys,
  withoutHash
} from "./ApiKey.ts"

/** The file with the keys cannot be read, written or understood. */
export class ApiKeysUnreadable extends Schema.TaggedError<ApiKeysUnreadable>()("ApiKeysUnreadable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The API keys in ${this.file} cannot be used: ${this.reason}`
  }
}

type FileProblem = ApiKeysUnreadable | LockHeld

/**
 * The keys of the applications that use the queen's OpenAI-compatible endpoint, in `config/keys.json`. Only a key's
 * SHA-256 is kept, which is enough to know it again.
 */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /** Makes a key. It can be seen in this answer only. */
    readonly create: (
      wanted: NewApiKey
    ) => Effect.Effect<
      { readonly key: Redacted.Redacted<string>; readonly record: ApiKey },
      InvalidApiKey | ApiKeyExists | FileProblem
    >
    /** All of them, oldest first, as the file is now. */
    readonly list: Effect.Effect<ReadonlyArray<ApiKey>, ApiKeysUnreadable>
    /** Revokes a key permanently, by its name or id. A running daemon rejects it from then on. */
    readonly revoke: (idOrName: string) => Effect.Effect<ApiKey, ApiKeyNotFound | FileProblem>
    /**
     * Whose key it is, as the file is now. A file that cannot be read, or a broken edit, is logged, and the last good keys
     * remain. The time that it takes tells nothing of the keys: what is compared are hashes, and nobody can choose a key
     * by its hash.
     */
    readonly find: (key: string) => Effect.Effect<Option.Option<ApiKey>>
    /** Whether there are keys; `unreadable` when no key is known and the file, which may have some, cannot be read. */
    readonly presence: Effect.Effect<"none" | "some" | "unreadable">
  }
>()("rbee/access/ApiKeys") {
  static readonly layerNoDeps = Layer.effect(
    ApiKeys,
    Effect.suspend(() => Effect.map(inFile, make))
  )

  /** Keys that end with the process, each with what it is: for tests and for applications. */
  static readonly layerMemory = (keys: ReadonlyArray<NewApiKey & { readonly key: string }> = []) =>
    Layer.effect(
      ApiKeys,
      Effect.suspend(() => Effect.map(inMemory(keys), make))
    )
}

type Keys = ReadonlyArray<StoredApiKey>

interface Store {
  readonly read: Effect.Effect<Keys, ApiKeysUnreadable>
  /** One edit at a time; an edit that fails changes nothing. */
  readonly change: <A, E>(
    edit: (keys: Keys) => Result.Result<readonly [answer: A, keys: Keys], E>
  ) => Effect.Effect<A, E | FileProblem>
  /** The last good keys, and whether the file is another one now that cannot be read. */
  readonly latest: Effect.Effect<{ readonly known: ReadonlyMap<string, ApiKey>; readonly isBroken: boolean }>
}

const now = Effect.map(DateTime.now, DateTime.formatIso)

const make = (store: Store) =>
  ApiKeys.of({
    create: Effect.fn("ApiKeys.create")(function* (wanted: NewApiKey) {
      const key = generate()
      const kept = yield* Effect.fromResult(newRecord(key, yield* now, wanted))
      const record = withoutHash(kept)
      return yield* store.change((keys) =>
        keys.some(has(kept.name)) || keys.some(has(kept.id))
          ? Result.fail(new ApiKeyExists({ name: kept.name }))
          : Result.succeed([{ key: Redacted.make(key), record }, [...keys, kept]] as const)
      )
    }),
    list: Effect.map(store.read, (keys) => keys.map(withoutHash)),
    revoke: Effect.fn("ApiKeys.revoke")((idOrName: string) =>
      store.change((keys) => {
        const revoked = keys.find(has(idOrName))
        return revoked === undefined
          ? Result.fail(notFound(idOrName, keys))
          : Result.succeed([withoutHash(revoked), keys.filter((key) => key !== revoked)] as const)
      })
    ),
    find: Effect.fnUntraced(function* (key: string) {
      const { known } = yield* store.latest
      return Option.fromUndefinedOr(known.get(hashOf(key)))
    }),
    presence: Effect.map(store.latest, ({ isBroken, known }) => {
      if (known.size > 0) return "some"
      return isBroken ? "unreadable" : "none"
    })
  })

const inMemory = Effect.fnUntraced(function* (given: ReadonlyArray<NewApiKey & { readonly key: string }>) {
  const createdAt = yield* now
  let keys: Keys = yield* Effect.forEach(given, ({ key, ...wanted }) =>
    Effect.fromResult(newRecord(key, createdAt, wanted))
  )
  const store: Store = {
    read: Effect.sync(() => keys),
    change: (edit) =>
      Effect.suspend(() =>
        Effect.fromResult(
          Result.map(edit(keys), ([answer, changed]) => {
            keys = changed
            return answer
          })
        )
      ),
    latest: Effect.sync(() => ({ known: byHash(keys), isBroken: false }))
  }
  return store
})

const none = "none"
const mending = "mend the file, or move it away and create new keys"

const inFile = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const pids = yield* Pids
  const { config } = yield* Paths
  const file = path.join(config, "keys.json")

  const unusable = (error: PlatformError.PlatformError) =>
    new ApiKeysUnreadable({ file, reason: systemProblem(error) })

  const read = fs.readFileString(file).pipe(
    Effect.map(Option.some),
    Effect.catch((error) =>
      error.reason._tag === "NotFound" ? Effect.succeedNone : Effect.fail(unusable(error))
    ),
    Effect.flatMap((text) =>
      Option.isNone(text)
        ? Effect.succeed([])
        : Effect.fromResult(
            Result.mapError(
              parseKeys(text.value),
              (reason) => new ApiKeysUnreadable({ file, reason: `${reason}; ${mending}` })
            )
          )
    )
  )

  // The time alone would miss a second edit within its resolution.
  const stamp = fs.stat(file).pipe(
    Effect.map(
      ({ ino, mtime, size }) =>
        `${Option.getOrElse(ino, () => 0)}:${Option.getOrUndefined(mtime)?.getTime()}:${size}`
    ),
    Effect.catch(({ reason }) => Effect.succeed(reason._tag === "NotFound" ? none : reason._tag))
  )

  let state: Effect.Success<Store["latest"]> = { known: new Map(), isBroken: false }
  let seen: string | undefined
  const oneAtATime = yield* Semaphore.make(1)

  const look = Effect.gen(function* () {
    const stampNow = yield* stamp
    // What could not be read may have become readable with no sign of it.
    if (stampNow === seen && !state.isBroken) return
    yield* Effect.matchEffect(read, {
      onSuccess: (keys) =>
        Effect.sync(() => {
          state = { known: byHash(keys), isBroken: false }
        }),
      onFailure: (error) =>
        Effect.suspend(() => {
          state = { ...state, isBroken: true }
          if (stampNow === seen) return Effect.void
          return Effect.logWarning("keys.json was not taken; the last good keys remain", {
            problem: error.message
          })
        })
    })
    seen = stampNow
  })

  let asked = 0
  let answered = 0

  // One look answers all who asked before it began: a key holds from the moment on at which its file was written.
  const latest = Effect.suspend(() => {
    const own = ++asked
    return Effect.suspend(() => {
      if (answered >= own) return Effect.void
      const last = asked
      return Effect.andThen(
        look,
        Effect.sync(() => {
          answered = last
        })
      )
    }).pipe(
      oneAtATime.withPermits(1),
      Effect.map(() => state)
    )
  })
  // The keys are known before clients come, who may use up what reading them takes.
  yield* latest

  const write = (keys: Keys) =>
    Effect.gen(function* () {
      const temporary = `${file}.new`
      yield* fs.remove(temporary, { force: true })
      const open = yield* fs.open(temporary, { flag: "wx", mode: 0o600 })
      yield* open.writeAll(new TextEncoder().encode(printKeys(keys)))
      yield* open.sync
      yield* fs.rename(temporary, file)
      // Who makes or revokes a key here finds that at once; a look that is under way began before it.
      yield* Effect.sync(() => {
        state = { known: byHash(keys), isBroken: false }
        seen = undefined
      }).pipe(oneAtATime.withPermits(1))
    }).pipe(Effect.scoped)

  const change: Store["change"] = (edit) =>
    Effect.gen(function* () {
      yield* makeFolder(config, 0o700)
      const alone = Effect.gen(function* () {
        const edited = edit(yield* read)
        if (Result.isSuccess(edited)) yield* write(edited.success[1])
        return Result.map(edited, ([answer]) => answer)
      })
      return yield* withLock(`${file}.lock`)(alone)
    }).pipe(
      Effect.catchTag("PlatformError", (error) => Effect.fail(unusable(error))),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Pids, pids),
      Effect.flatMap(Effect.fromResult)
    )

  return { read, latest, change } satisfies Store
})
