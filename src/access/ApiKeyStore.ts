import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { LockHeld } from "../system/FileLock.ts"
import type { ApiKey, StoredApiKey } from "./ApiKey.ts"

/** `keys.json` cannot be read, written or decoded. */
export class ApiKeysUnreadable extends Schema.TaggedError<ApiKeysUnreadable>()("ApiKeysUnreadable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The API keys in ${this.file} cannot be used: ${this.reason}`
  }
}

export type StoreError = ApiKeysUnreadable | LockHeld

/** The API keys by the SHA-256 of the key. */
export type KeysByHash = ReadonlyMap<string, ApiKey>

/** Where API keys are kept: in a file or in memory. */
export interface ApiKeyStore {
  readonly read: Effect.Effect<ReadonlyArray<StoredApiKey>, ApiKeysUnreadable>
  /** Replaces the keys by those of `edit`, one edit at a time. An edit that fails changes nothing. */
  readonly change: <A, E>(
    edit: (
      keys: ReadonlyArray<StoredApiKey>
    ) => Result.Result<readonly [answer: A, keys: ReadonlyArray<StoredApiKey>], E>
  ) => Effect.Effect<A, E | StoreError>
  /** The last good keys, and whether the file has since become unreadable. */
  readonly latest: Effect.Effect<{ readonly value: KeysByHash; readonly isBroken: boolean }>
}
