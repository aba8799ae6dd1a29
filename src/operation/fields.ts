import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const expecting = <S extends Schema.Top>(schema: S, expected: string) =>
  schema.annotate({ expected }).pipe(Schema.annotateKey({ messageMissingKey: `Expected ${expected}` }))

const identifier = (pattern: RegExp, expected: string) =>
  expecting(Schema.String.check(Schema.isPattern(pattern, { expected })), expected)

/** The name of a hive: `localhost`, `atlas`, or `auto`. */
export const HiveId = identifier(
  /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
  "a hive id of 1 to 128 letters, digits, '.', '_' and '-'"
)

/** The id of a hive itself; unlike `HiveId` it cannot be `auto`, which means any hive. */
export const OwnHiveId = identifier(
  /^(?!auto$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
  "a hive id of 1 to 128 letters, digits, '.', '_' and '-' that begins with a letter, a digit or '_' and is not 'auto'"
)

/** The name of a hive in `hives.conf`; required. */
export const Alias = HiveId

/** The name of a hive in `hives.conf`; default: `localhost`. */
export const AliasOrLocalhost = HiveId.pipe(
  Schema.withDecodingDefaultKey(Effect.succeed("localhost")),
  Schema.withConstructorDefault(Effect.succeed("localhost"))
)

/** The id of a worker. */
export const WorkerId = identifier(
  /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
  "a worker id of 1 to 128 letters, digits, '.', '_' and '-'"
)

/** The id of a job. */
export const JobId = identifier(/^job-[0-9a-f-]{36}$/, "a job id such as 'rbee jobs list' shows")

/** The id of a model, at most 512 characters. Only the hive checks its form, because a newer hive may know more forms. */
export const ModelName = identifier(
  // oxlint-disable-next-line no-control-regex -- the pattern excludes control characters
  /^[^\u0000-\u001f\u007f]{1,512}$/,
  "a model id of 1 to 512 characters without control characters"
)

/** The placement of a worker: a kind such as `cuda`, a device such as `gpu-0`, an engine's name, or `auto`. */
export const WorkerKind = identifier(
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
  "a worker kind, a device such as gpu-0, an engine's name, or auto"
)

/** The endpoint of a worker's OpenAI API: its path below `/v1/`. */
export const CompletionApi = Schema.Literals(["chat/completions", "completions", "embeddings"])
export type CompletionApi = typeof CompletionApi.Type

/** The text to continue, without NUL characters. */
// oxlint-disable-next-line no-control-regex -- the pattern excludes NUL
export const Prompt = identifier(/^[^\u0000]*$/, "a text without NUL characters")

/** An unsigned 32-bit integer. */
export const Uint32 = expecting(
  Schema.Int.check(
    Schema.isBetween({ minimum: 0, maximum: 4_294_967_295 }, { expected: "an integer from 0 to 4294967295" })
  ),
  "an integer from 0 to 4294967295"
)

/** A device of a hive: its index, or a kind such as `cpu` or `cuda`, or a name such as `gpu-1`. */
export const DeviceChoice = expecting(
  Schema.Union([Uint32, WorkerKind]),
  "a device index from 0 to 4294967295, or a name such as cpu, cuda or gpu-1"
)

/** An integer above 0. */
export const PositiveCount = expecting(
  Schema.Int.check(
    Schema.isBetween({ minimum: 1, maximum: 4_294_967_295 }, { expected: "an integer from 1 to 4294967295" })
  ),
  "an integer from 1 to 4294967295"
)

/** A time in UTC, ISO 8601. */
export const UtcTime = identifier(
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z$/,
  "a time in UTC such as 2026-12-01T08:30:00Z"
)

/** A TCP port, 1 to 65535. */
export const Port = expecting(
  Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }, { expected: "a port from 1 to 65535" })),
  "a port from 1 to 65535"
)

/** The sampling temperature; 0 is greedy. */
export const Temperature = expecting(
  Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 }, { expected: "a number from 0 to 100" })),
  "a number from 0 to 100"
)

/** A probability. */
export const Probability = expecting(
  Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }, { expected: "a number from 0 to 1" })),
  "a number from 0 to 1"
)

/** A path on the machine that runs the operation. */
// oxlint-disable-next-line no-control-regex -- the pattern excludes control characters
export const FilePath = identifier(/^[^\u0000-\u001f]{1,4096}$/, "a path of 1 to 4096 characters")
