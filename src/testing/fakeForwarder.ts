import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readRequest } from "../operation/Catalog.ts"
import { Operation } from "../operation/Operation.ts"
import type { ForwardError } from "../queen/forward/errors.ts"
import { HiveForwarder } from "../queen/forward/HiveForwarder.ts"
import type { Script } from "./Script.ts"

const encode = Schema.encodeSync(Schema.fromJsonString(Operation))

/** A `HiveForwarder` without hives: it returns exactly the events of the script. */
export const fakeForwarder = (script: Script<ForwardError>) => {
  const answer = (json: string) =>
    Stream.unwrap(Effect.map(Effect.orDie(Effect.fromResult(readRequest(json))), script))
  return Layer.succeed(
    HiveForwarder,
    HiveForwarder.of({
      forward: (operation) => answer(encode(operation)),
      forwardJson: ({ json }, emit) => Stream.runForEachArray(answer(json), emit)
    })
  )
}
