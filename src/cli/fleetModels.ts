import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { JobsClient } from "../job/client/JobsClient.ts"
import type { Peer } from "../job/client/Peer.ts"
import { findNamed } from "../operation/modelNames.ts"

/** What a command reads of the result of the `status` operation. */
const FleetStatus = Schema.fromJsonString(
  Schema.Struct({
    hives: Schema.Array(Schema.Struct({ alias: Schema.String, state: Schema.String })),
    models: Schema.Array(
      Schema.Struct({ hive: Schema.String, id: Schema.String, away: Schema.optionalKey(Schema.String) })
    )
  })
)

type FleetStatus = typeof FleetStatus.Type

const decodeStatus = Schema.decodeUnknownEffect(FleetStatus)

const unknown: FleetStatus = { hives: [], models: [] }
const statusTimeout = "5 seconds"

/** The hives and models of the fleet; none if the queen does not report them within 5 seconds. */
export const fleetModels = Effect.fnUntraced(
  function* (peer: Peer) {
    const client = yield* JobsClient
    const jobId = yield* client.submit(peer, `{"operation":"status"}`)
    const result = yield* client.events(peer, jobId).pipe(
      Stream.filter(({ kind }) => kind === "result"),
      Stream.runHead
    )
    return Option.isNone(result) ? unknown : yield* decodeStatus(result.value.json)
  },
  Effect.timeout(statusTimeout),
  Effect.orElseSucceed(() => unknown)
)

/** Whether a hive of the fleet answers. */
export const hasActiveHive = ({ hives }: FleetStatus) => hives.some(({ state }) => state === "active")

/** The sentence that names the hives with a model; nothing if no hive that answers has it. */
export const whereModelIs = ({ models }: FleetStatus, name: string) => {
  const present = models.filter(({ away }) => away === undefined)
  const model = findNamed(present, ({ id }) => [id], name)
  if (model === undefined) return undefined
  const hives = present.filter(({ id }) => id === model.id).map(({ hive }) => hive)
  return `Model '${model.id}' is on ${hives.join(", ")}: use --hive-id ${hives[0]}, or --hive-id auto`
}
