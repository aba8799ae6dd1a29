import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { BadInput } from "./errors.ts"

const unitMillis: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}

const isoTime = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2})?)?$/

/** `--since`: an age such as `7d`, or a time. */
export const sinceFlag = Flag.String("since").pipe(
  Flag.withDescription(
    "Only what is not older: an age such as 30m, 12h or 7d, or a time such as 2026-12-01T08:30:00Z"
  ),
  Flag.optional
)

/** The time in UTC, ISO 8601, that a `--since` means now. */
export const sinceTime = Effect.fnUntraced(function* (since: Option.Option<string>) {
  if (Option.isNone(since)) return undefined
  const [, count, unit = ""] = /^(\d{1,6})([smhd])$/.exec(since.value) ?? []
  const age = unitMillis[unit]
  const time =
    age === undefined
      ? Option.filter(DateTime.make(since.value), () => isoTime.test(since.value))
      : DateTime.make((yield* Clock.currentTimeMillis) - Number(count) * age)
  if (Option.isNone(time)) {
    return yield* new BadInput({
      message: `--since: expected an age such as 30m, 12h or 7d, or a time such as 2026-12-01T08:30:00Z, got '${since.value}'`
    })
  }
  return DateTime.formatIso(time.value)
})
