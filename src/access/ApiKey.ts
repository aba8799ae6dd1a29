import { hash, randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Struct from "effect/Struct"

const AtLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

// Somebody may give a key where its name belongs; it must then be neither kept nor shown.
const isLikeAKey = (text: string) => /^rbee-[A-Za-z0-9_-]{32,}$/.test(text)
const Name = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/),
  Schema.makeFilter((name: string) => !isLikeAKey(name))
)
const isName = Schema.is(Name)

/** What is known of an application's key, and what its holder may do. The key itself is nowhere. */
export const ApiKey = Schema.Struct({
  /** The first eight hexadecimal digits of the key's SHA-256. */
  id: Schema.NonEmptyString,
  name: Name,
  created_at: Schema.NonEmptyString,
  /** Requests at the same time; absent: as many as come. */
  concurrency: Schema.optionalKey(AtLeastOne),
  tokens_per_minute: Schema.optionalKey(AtLeastOne),
  /** The public names of the models that may be used; absent: all of them. */
  models: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  /** Who goes first when requests wait, from -10 to 10. */
  priority: Schema.Int.check(Schema.isBetween({ minimum: -10, maximum: 10 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  )
})
export type ApiKey = typeof ApiKey.Type

/** A key as it is kept: its SHA-256 beside what is known of it. */
export const StoredApiKey = Schema.Struct({
  ...ApiKey.fields,
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
})
export type StoredApiKey = typeof StoredApiKey.Type

/** What may be shown of it. */
export const withoutHash = (kept: StoredApiKey): ApiKey => Struct.omit(kept, ["sha256"])

/** The keys by their SHA-256. */
export const byHash = (keys: ReadonlyArray<StoredApiKey>): ReadonlyMap<string, ApiKey> =>
  new Map(keys.map((kept) => [kept.sha256, withoutHash(kept)]))

/** Whether a key is the one that is named so, or has this id. */
export const has = (idOrName: string) => (key: ApiKey) => key.name === idOrName || key.id === idOrName

/** What is asked of a new key. */
export interface NewApiKey {
  readonly name: string
  readonly concurrency?: number | undefined
  readonly tokensPerMinute?: number | undefined
  readonly models?: ReadonlyArray<string> | undefined
  readonly priority?: number | undefined
}

/** A key was to get a name or a limit that none can have. */
export class InvalidApiKey extends Schema.TaggedError<InvalidApiKey>()("InvalidApiKey", {
  field: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `The ${this.field.replaceAll("_", " ")} of an API key is ${this.expected}`
  }
}

/** The name is another key's, or its id. */
export class ApiKeyExists extends Schema.TaggedError<ApiKeyExists>()("ApiKeyExists", {
  name: Schema.String
}) {
  override get message() {
    return `There is an API key '${this.name}'; choose another name, or revoke that one first`
  }
}

/** No key has this name or id. */
export class ApiKeyNotFound extends Schema.TaggedError<ApiKeyNotFound>()("ApiKeyNotFound", {
  /** Absent when it can be no name, such as a key itself, which no message may show. */
  asked: Schema.optionalKey(Schema.String),
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    const what = this.asked === undefined ? "has what was given as its name" : `is named '${this.asked}'`
    const known = this.known.length === 0 ? "there are none" : `known are: ${this.known.join(", ")}`
    return `No API key ${what}, nor is it the id of one; ${known}`
  }
}

/** The fitting `ApiKeyNotFound`, which shows what was asked for only if it is no key. */
export const notFound = (asked: string, keys: ReadonlyArray<ApiKey>) =>
  new ApiKeyNotFound({ ...(isName(asked) ? { asked } : {}), known: keys.map(({ name }) => name) })

/** A new key, with 256 bits of chance from the operating system. */
export const generate = () => `rbee-${randomBytes(32).toString("base64url")}`

/**
 * The hash under which a key is kept. A plain SHA-256 is enough: a slow, salted hash makes up for passwords that can be
 * guessed, and nobody guesses 256 random bits.
 */
export const hashOf = (key: string) => hash("sha256", key)

const rules: Readonly<Record<string, string>> = {
  keys: "a list in which no two have the same name, id or sha256",
  name: "1 to 64 of letters, digits, '.', '_' and '-', and no key itself",
  concurrency: "a whole number from 1",
  tokens_per_minute: "a whole number from 1",
  models: "a list of names, none of them empty",
  priority: "a whole number from -10 to 10",
  sha256: "64 hexadecimal digits"
}

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

// The parser's own messages show the values, and a value may be a key that somebody wrote there.
const firstProblem = ({ issue }: Schema.SchemaError) => {
  const path = (toIssues(issue).issues[0]?.path ?? []).map(String)
  const field = path.findLast((part) => rules[part] !== undefined)
  const where = path.map((part) => (/^[a-z_0-9]{1,20}$/.test(part) ? part : "?")).join(".")
  return { field, where }
}

const decodeKept = Schema.decodeUnknownResult(StoredApiKey)

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
  return Result.mapError(decodeKept(record), (error) => {
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
// A limit that is misspelt would be no limit.
const decodeFile = Schema.decodeUnknownResult(KeysFile, { onExcessProperty: "error" })

/** Reads the text of `keys.json`. Fails with a sentence that shows no value of it. */
export const parseKeys = (text: string): Result.Result<ReadonlyArray<StoredApiKey>, string> =>
  Result.try({ try: (): unknown => JSON.parse(text), catch: () => "it is no JSON" }).pipe(
    Result.flatMap((json) =>
      Result.mapError(decodeFile(json), (error) => {
        const { field, where } = firstProblem(error)
        if (where === "") return "it is no object with the field 'keys'"
        const rule = field === undefined ? undefined : rules[field]
        return `its field '${where}' is not as it must be${rule === undefined ? "" : ` (${field}: ${rule})`}`
      })
    ),
    Result.map(({ keys }) => keys)
  )

/** The text of `keys.json`, with a line for each fact, so that a person can change a limit. */
export const printKeys = (keys: ReadonlyArray<StoredApiKey>) => `${JSON.stringify({ keys }, null, 2)}\n`
