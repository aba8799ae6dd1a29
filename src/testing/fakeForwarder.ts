import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { readRequest } from "../operation/Catalog.ts"
import type { ForwardError } from "../queen/forward/errors.ts"
import type { ForwardJson } from "../queen/forward/Forwarded.ts"
import { forwardWith } from "../queen/forward/forwardOperation.ts"
import { HiveForwarder } from "../queen/forward/HiveForwarder.ts"
import type { Script } from "./Script.ts"

/** A `HiveForwarder` without hives: it returns exactly the events of the script. */
export const fakeForwarder = (script: Script<ForwardError>) => {
  const forwardJson: ForwardJson = ({ json }, emit) =>
    Stream.runForEachArray(
      Stream.unwrap(Effect.map(Effect.orDie(Effect.fromResult(readRequest(json))), script)),
      emit
    )
  return Layer.succeed(HiveForwarder, HiveForwarder.of({ forward: forwardWith(forwardJson), forwardJson }))
}
