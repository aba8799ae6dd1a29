import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const whole = (minimum: number, maximum: number, fallback: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(fallback))
  )

const maxEvents = 1_000_000
const maxMillis = 600_000

/** The events that a client still receives before the fault. */
const after = whole(0, maxEvents, 0)

/** A fault that a mock injects into its answers; the README of this folder describes each. */
export const MockMode = Schema.Union([
  Schema.Struct({ mode: Schema.tag("ok") }),
  Schema.Struct({ mode: Schema.tag("slow"), delay_ms: whole(1, maxMillis, 1000) }),
  Schema.Struct({ mode: Schema.tag("hang"), after }),
  Schema.Struct({
    mode: Schema.tag("flaky"),
    every: whole(1, maxEvents, 3),
    status: whole(400, 599, 500)
  }),
  Schema.Struct({ mode: Schema.tag("drop"), after }),
  Schema.Struct({ mode: Schema.tag("malformed"), after }),
  Schema.Struct({ mode: Schema.tag("wrong-model") }),
  Schema.Struct({ mode: Schema.tag("slow-reader"), bytes_per_second: whole(1, 1_000_000_000, 1000) })
]).pipe(Schema.toTaggedUnion("mode"))
export type MockMode = typeof MockMode.Type

/** The names of the modes. */
export const modeNames: ReadonlyArray<string> = Object.keys(MockMode.cases)

/** The text names no mode, or a field of the mode is invalid. */
export class InvalidMockMode extends Schema.TaggedError<InvalidMockMode>()("InvalidMockMode", {
  reason: Schema.String
}) {
  override get message() {
    return `${this.reason}; write a mode (${modeNames.join(", ")}) or JSON such as {"mode":"drop","after":5}`
  }
}

const decode = Schema.decodeUnknownResult(MockMode, { onExcessProperty: "error" })
const readObject = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
)

const invalid = (reason: string) => Result.fail(new InvalidMockMode({ reason }))

const maxShown = 100

const problemIn = ({ message }: { readonly message: string }) => message.replaceAll(/\s+/g, " ").slice(0, 300)

/** Reads a mode: its name, or JSON with its name and fields. */
export const parseMode = (text: string): Result.Result<MockMode, InvalidMockMode> => {
  const trimmed = text.trim()
  const json = trimmed.startsWith("{") ? trimmed : JSON.stringify({ mode: trimmed })
  const fields = readObject(json)
  if (Result.isFailure(fields)) return invalid("The mode is not a JSON object")
  const mode = String(fields.success["mode"])
  if (!modeNames.includes(mode)) return invalid(`Unknown mode '${mode.slice(0, maxShown)}'`)
  return Result.mapError(decode(fields.success), (error) => new InvalidMockMode({ reason: problemIn(error) }))
}
