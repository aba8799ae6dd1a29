import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { InvalidRequest } from "./Endpoint.ts"

const dayMillis = 86_400_000

const Milliseconds = Schema.FiniteFromString.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: 1, maximum: dayMillis })
)
const readMilliseconds = Schema.decodeUnknownOption(Milliseconds)

/** How long a request may wait for a worker, in milliseconds, from its header `x-rbee-deadline-ms`; undefined without it. */
export const waitLimit = ({
  headers
}: Pick<HttpServerRequest.HttpServerRequest, "headers">): Effect.Effect<
  number | undefined,
  InvalidRequest
> => {
  const value = headers["x-rbee-deadline-ms"]
  if (value === undefined) return Effect.undefined
  return Option.match(readMilliseconds(value), {
    onSome: (millis) => Effect.succeed(millis),
    onNone: () =>
      Effect.fail(
        new InvalidRequest({
          reason: "x-rbee-deadline-ms must be an integer number of milliseconds, at most 86400000 (one day)"
        })
      )
  })
}
