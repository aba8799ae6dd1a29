import { hash, randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Struct from "effect/Struct"

const AtLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

// A user may pass a key in place of a name; it must then be neither stored nor shown.
const isLikeAKey = (text: string) => /^rbee-[A-Za-z0-9_-]{32,}$/.test(text)
const Name = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/),
  Schema.makeFilter((name: string) => !isLikeAKey(name))
)
const isName = Schema.is(Name)

/** The record of an application's key: its name and limits, without the key itself. */
export const ApiKey = Schema.Struct({
  /** The first eight hexadecimal digits of the key's SHA-256. */
  id: Schema.NonEmptyString,
  name: Name,
  created_at: Schema.NonEmptyString,
  /** Requests at the same time; unlimited when absent. */
  concurrency: Schema.optionalKey(AtLeastOne),
  tokens_per_minute: Schema.optionalKey(AtLeastOne),
  /** The public names of the allowed models; all models when absent. */
  models: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  /** Queue priority, from -10 to 10. */
  priority: Schema.Int.check(Schema.isBetween({ minimum: -10, maximum: 10 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  )
})
export type ApiKey = typeof ApiKey.Type

/** A record as it is stored, with the SHA-256 of its key. */
export const StoredApiKey = Schema.Struct({
  ...ApiKey.fields,
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
})
export type StoredApiKey = typeof StoredApiKey.Type

/** The part of a record that may be shown. */
export const withoutHash = (stored: StoredApiKey): ApiKey => Struct.omit(stored, ["sha256"])

/** The records by the SHA-256 of their keys. */
export const byHash = (keys: ReadonlyArray<StoredApiKey>): ReadonlyMap<string, ApiKey> =>
  new Map(keys.map((stored) => [stored.sha256, withoutHash(stored)]))

/** Whether a record has this name or id. */
export const has = (idOrName: string) => (key: ApiKey) => key.name === idOrName || key.id === idOrName

/** The name and the limits of a key to create. */
export interface NewApiKey {
  readonly name: string
  readonly concurrency?: number | undefined
  readonly tokensPerMinute?: number | undefined
  readonly models?: ReadonlyArray<string> | undefined
  readonly priority?: number | undefined
}

/** The name or a limit of a new key is invalid. */
export class InvalidApiKey extends Schema.TaggedError<InvalidApiKey>()("InvalidApiKey", {
  field: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `Invalid API key ${this.field.replaceAll("_", " ")}: expected ${this.expected}`
  }
}

/** Another key has this name, or this name as its id. */
export class ApiKeyExists extends Schema.TaggedError<ApiKeyExists>()("ApiKeyExists", {
  name: Schema.String
}) {
  override get message() {
    return `API key '${this.name}' already exists; choose another name or revoke it first`
  }
}

/** No key has this name or id. */
export class ApiKeyNotFound extends Schema.TaggedError<ApiKeyNotFound>()("ApiKeyNotFound", {
  /** Absent when it is not a valid name, for example a key, which no message may show. */
  asked: Schema.optionalKey(Schema.String),
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    const key = this.asked === undefined ? "API key" : `API key '${this.asked}'`
    const known = this.known.length === 0 ? "no keys exist" : `existing keys: ${this.known.join(", ")}`
    return `${key} not found; ${known}`
  }
}

/** An `ApiKeyNotFound` that shows the requested name only if it cannot be a key. */
export const notFound = (asked: string, keys: ReadonlyArray<ApiKey>) =>
  new ApiKeyNotFound({ ...(isName(asked) ? { asked } : {}), known: keys.map(({ name }) => name) })

/** A new key, with 256 random bits of the operating system. */
export const generate = () => `rbee-${randomBytes(32).toString("base64url")}`

/**
 * The hash under which a key is stored. A plain SHA-256 suffices: slow, salted hashes protect passwords that can be guessed,
 * and 256 random bits cannot.
 */
export const hashOf = (key: string) => hash("sha256", key)

const rules: Readonly<Record<string, string>> = {
  keys: "a list of records with distinct names, ids and sha256",
  name: "1 to 64 letters, digits, '.', '_' or '-', and not a key",
  concurrency: "an integer of at least 1",
  tokens_per_minute: "an integer of at least 1",
  models: "a list of non-empty names",
  priority: "an integer from -10 to 10",
  sha256: "64 hexadecimal digits"
}

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

// The parser's own messages show values, and a value may be a key.
const firstProblem = ({ issue }: Schema.SchemaError) => {
  const path = (toIssues(issue).issues[0]?.path ?? []).map(String)
  const field = path.findLast((part) => rules[part] !== undefined)
  const where = path.map((part) => (/^[a-z_0-9]{1,20}$/.test(part) ? part : "?")).join(".")
  return { field, where }
}

const decodeStored = Schema.decodeUnknownResult(StoredApiKey)

/** The record of a new key. */
export const newRecord = (key: string, createdAt: string, wanted: NewApiKey) => {
  const sha256 = hashOf(key)
  const record = {
    id: sha256.slice(0, 8),
    name: wanted.name,
    created_at: createdAt,
    ...(wanted.concurrency === undefined ? {} : { concurrency: wanted.concurrency }),
    ...(wanted.tokensPerMinute === undefined ? {} : { tokens_per_minute: wanted.tokensPerMinute }),
    ...(wanted.models === undefined ? {} : { models: [...new Set(wanted.models)] }),
    priority: wanted.priority ?? 0,
    sha256
  }
  return Result.mapError(decodeStored(record), (error) => {
    const { field = "name" } = firstProblem(error)
    return new InvalidApiKey({ field, expected: rules[field] ?? "" })
  })
}

const areDistinct = (keys: ReadonlyArray<StoredApiKey>) =>
  new Set(keys.flatMap(({ id, name }) => (id === name ? [id] : [id, name]))).size ===
    keys.reduce((count, { id, name }) => count + (id === name ? 1 : 2), 0) &&
  new Set(keys.map(({ sha256 }) => sha256)).size === keys.length

const KeysFile = Schema.Struct({
  keys: Schema.Array(StoredApiKey).check(Schema.makeFilter(areDistinct))
})
// A misspelt limit would have no effect.
const decodeFile = Schema.decodeUnknownResult(KeysFile, { onExcessProperty: "error" })

/** Parses the text of `keys.json`. The failure is a sentence that shows no value of the file. */
export const parseKeys = (text: string): Result.Result<ReadonlyArray<StoredApiKey>, string> =>
  Result.try({ try: (): unknown => JSON.parse(text), catch: () => "it is not JSON" }).pipe(
    Result.flatMap((json) =>
      Result.mapError(decodeFile(json), (error) => {
        const { field, where } = firstProblem(error)
        if (where === "") return "it is not an object with the field 'keys'"
        const rule = field === undefined ? undefined : rules[field]
        return `its field '${where}' is invalid${rule === undefined ? "" : ` (${field}: expected ${rule})`}`
      })
    ),
    Result.map(({ keys }) => keys)
  )

/** The text of `keys.json`, with one field per line, so that it can be edited. */
export const printKeys = (keys: ReadonlyArray<StoredApiKey>) => `${JSON.stringify({ keys }, null, 2)}\n`
