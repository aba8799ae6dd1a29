import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { requestText } from "../../http/readBody.ts"
import { brokenJson } from "../../operation/brokenJson.ts"
import type { SettingValues } from "../../settings/Settings.ts"
import { type Body, InvalidRequest } from "./Endpoint.ts"

const invalidBody = (problem: string) => Effect.fail(new InvalidRequest({ reason: `The body ${problem}` }))

const parse = (text: string): Effect.Effect<Body, InvalidRequest> => {
  const parsed = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(parsed))
    return invalidBody(`is not valid JSON: ${brokenJson(text) ?? "it cannot be parsed"}`)
  return Predicate.isReadonlyObject(parsed.success)
    ? Effect.succeed(parsed.success)
    : invalidBody("must be a JSON object")
}

/** Reads the body of the current request, a JSON object, within the limits of the settings. */
export const requestBody = (settings: Pick<SettingValues, "limits" | "timeouts">) =>
  Effect.flatMap(requestText(settings), parse)

/** The reasons why a request has no usable body. */
export type BodyError = Effect.Error<ReturnType<typeof requestBody>>
