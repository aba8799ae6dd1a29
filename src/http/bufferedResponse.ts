import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import { PooledResponse } from "./PooledResponse.ts"

/** A response with the status 200 whose body has been read already. The body can be read once. */
export const bufferedResponse = (request: HttpClientRequest.HttpClientRequest, body: string) => {
  let isRead = false
  const read = Effect.suspend(() => {
    if (isRead) return Cause.done()
    isRead = true
    return Effect.succeed(Arr.of(Buffer.from(body)))
  })
  return new PooledResponse({ request, body: read, read: () => {}, leave: () => {} }, 200, {})
}
