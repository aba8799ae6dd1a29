import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { Connection } from "../Connection.ts"

const ModelList = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })

/**
 * The models of a new key that the queen does not list to the key's holder; none if no queen responds within two seconds.
 */
export const unknownModels = Effect.fnUntraced(function* (
  models: ReadonlyArray<string>,
  key: Redacted.Redacted<string>
) {
  if (models.length === 0) return []
  const client = yield* JobsClient
  const { queen } = yield* Connection
  const { url } = yield* queen
  const listed = yield* client
    .get({ url, token: key }, "/v1/models", ModelList)
    .pipe(Effect.timeout("2 seconds"), Effect.option)
  if (Option.isNone(listed)) return []
  const known = new Set(listed.value.data.map(({ id }) => id))
  return models.filter((model) => !known.has(model))
})
