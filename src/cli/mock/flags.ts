import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type MockMode, modeNames, parseMode } from "../../worker/mock/MockMode.ts"
import { BadInput } from "../errors.ts"

/** `--port` of a mock. */
export const mockPort = (usual: number) =>
  Flag.Int("port").pipe(
    Flag.withDescription(`Port to listen on (default: ${usual})`),
    Flag.withDefault(usual)
  )

/** `--mode`, or another flag for a mode. */
export const modeFlag = (name: string, whose: string) =>
  Flag.String(name).pipe(
    Flag.withDescription(
      `Mode in which ${whose} starts: ${modeNames.join(", ")}; or JSON such as '{"mode":"drop","after":5}' (default: ok)`
    ),
    Flag.withDefault("ok")
  )

/** `--seed`. */
export const seed = Flag.Int("seed").pipe(
  Flag.withDescription("Number that decides the text of the answers (default: 1)"),
  Flag.withDefault(1)
)

/** `--tokens`. */
export const tokens = Flag.Int("tokens").pipe(
  Flag.withDescription("Length of an answer without max_tokens (default: 64)"),
  Flag.withDefault(64)
)

/** `--interval-ms`. */
export const interval = Flag.Int("interval-ms").pipe(
  Flag.withDescription("Time between two tokens in milliseconds (default: 20)"),
  Flag.withDefault(20)
)

/** The value of a flag for a mode. */
export const readMode = (flag: string, value: string): Effect.Effect<MockMode, BadInput> =>
  Effect.mapError(
    Effect.fromResult(parseMode(value)),
    ({ message }) => new BadInput({ message: `Invalid --${flag}: ${message}` })
  )

const maxPort = 65_535
const maxNumber = 1_000_000

/** Fails if a number is outside of what the flag accepts. */
export const checkNumbers = (numbers: Readonly<Record<string, number>>) =>
  Option.match(
    Option.fromUndefinedOr(
      Object.entries(numbers).find(
        ([flag, value]) => value < 1 || value > (flag === "port" ? maxPort : maxNumber)
      )
    ),
    {
      onNone: () => Effect.void,
      onSome: ([flag, value]) =>
        Effect.fail(
          new BadInput({
            message: `Invalid --${flag} ${value}: expected 1 to ${flag === "port" ? maxPort : maxNumber}`
          })
        )
    }
  )
