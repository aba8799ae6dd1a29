import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { PeerHttp } from "../../job/client/PeerHttp.ts"
import { Settings } from "../../settings/Settings.ts"
import { Connection } from "../Connection.ts"

const ModelList = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })
const readModelList = Schema.decodeUnknownEffect(Schema.fromJsonString(ModelList))

/**
 * The models of a new key that the queen does not list to the key's holder; none if no queen responds within two seconds.
 */
export const unknownModels = Effect.fnUntraced(function* (
  models: ReadonlyArray<string>,
  key: Redacted.Redacted<string>
) {
  if (models.length === 0) return []
  const http = new PeerHttp(yield* HttpClient.HttpClient, yield* Settings)
  const { queen } = yield* Connection
  const { url } = yield* queen
  const listed = yield* http
    .ask({ url, token: key }, HttpClientRequest.get("/v1/models"))
    .pipe(Effect.flatMap(readModelList), Effect.timeout("2 seconds"), Effect.option)
  if (Option.isNone(listed)) return []
  const known = new Set(listed.value.data.map(({ id }) => id))
  return models.filter((model) => !known.has(model))
})
