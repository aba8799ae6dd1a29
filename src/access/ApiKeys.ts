import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { Paths } from "../settings/Paths.ts"
import {
  type ApiKey,
  ApiKeyExists,
  type ApiKeyNotFound,
  byHash,
  generate,
  has,
  hashOf,
  type InvalidApiKey,
  type NewApiKey,
  newRecord,
  notFound,
  type StoredApiKey,
  withoutHash
} from "./ApiKey.ts"
import type { ApiKeyStore, ApiKeysUnreadable, StoreError } from "./ApiKeyStore.ts"
import { fileKeyStore } from "./fileKeyStore.ts"

/**
 * The keys of the applications that use the queen's OpenAI-compatible endpoint, in `config/keys.json`. Only the SHA-256 of a
 * key is stored.
 */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /** Creates a key. Only this result contains it. */
    readonly create: (
      wanted: NewApiKey
    ) => Effect.Effect<
      { readonly key: Redacted.Redacted<string>; readonly record: ApiKey },
      InvalidApiKey | ApiKeyExists | StoreError
    >
    /** All keys, oldest first, as the file is now. */
    readonly list: Effect.Effect<ReadonlyArray<ApiKey>, ApiKeysUnreadable>
    /** Revokes a key permanently, by its name or id. A running daemon rejects it from then on. */
    readonly revoke: (idOrName: string) => Effect.Effect<ApiKey, ApiKeyNotFound | StoreError>
    /**
     * The record of a key, as the file is now. A file that cannot be read or decoded is logged, and the last good keys
     * remain valid. The duration reveals nothing about the keys: it compares hashes, and no client can choose a key by its
     * hash.
     */
    readonly find: (key: string) => Effect.Effect<Option.Option<ApiKey>>
    /** Whether keys exist; `unreadable` when no key is known and the file, which may contain some, cannot be read. */
    readonly presence: Effect.Effect<"none" | "some" | "unreadable">
  }
>()("rbee/access/ApiKeys") {
  static readonly layerNoDeps = Layer.effect(
    ApiKeys,
    Effect.gen(function* () {
      const { config } = yield* Paths
      return make(yield* fileKeyStore(config))
    })
  )

  /** The given keys, in memory: for tests and for applications. */
  static readonly layerMemory = (keys: ReadonlyArray<NewApiKey & { readonly key: string }> = []) =>
    Layer.effect(
      ApiKeys,
      Effect.suspend(() => Effect.map(memoryKeyStore(keys), make))
    )
}

const now = Effect.map(DateTime.now, DateTime.formatIso)

const make = (store: ApiKeyStore) =>
  ApiKeys.of({
    create: Effect.fn("ApiKeys.create")(function* (wanted: NewApiKey) {
      const key = generate()
      const stored = yield* Effect.fromResult(newRecord(key, yield* now, wanted))
      const record = withoutHash(stored)
      return yield* store.change((keys) =>
        keys.some(has(stored.name)) || keys.some(has(stored.id))
          ? Result.fail(new ApiKeyExists({ name: stored.name }))
          : Result.succeed([{ key: Redacted.make(key), record }, [...keys, stored]] as const)
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
      const { value } = yield* store.latest
      return Option.fromUndefinedOr(value.get(hashOf(key)))
    }),
    presence: Effect.map(store.latest, ({ isBroken, value }) => {
      if (value.size > 0) return "some"
      return isBroken ? "unreadable" : "none"
    })
  })

const memoryKeyStore = Effect.fnUntraced(function* (
  initial: ReadonlyArray<NewApiKey & { readonly key: string }>
) {
  const createdAt = yield* now
  let keys: ReadonlyArray<StoredApiKey> = yield* Effect.forEach(initial, ({ key, ...wanted }) =>
    Effect.fromResult(newRecord(key, createdAt, wanted))
  )
  const store: ApiKeyStore = {
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
    latest: Effect.sync(() => ({ value: byHash(keys), isBroken: false }))
  }
  return store
})
