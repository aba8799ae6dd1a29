import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { HiveInventory } from "../../operation/Inventory.ts"
import { MockFaults } from "../../worker/mock/MockFaults.ts"

const decoder = new TextDecoder()
const readInventory = Schema.decodeUnknownOption(Schema.fromJsonString(HiveInventory))

const wrong = (id: string) => `wrong-${id.replaceAll(/[^A-Za-z0-9]+/g, "-")}`

/** The inventory with other names for all models. */
const withWrongNames = (inventory: HiveInventory): HiveInventory => ({
  ...inventory,
  models: inventory.models.map((model) => ({ ...model, id: wrong(model.id), also: [] })),
  workers: inventory.workers.map((worker) => ({ ...worker, model_id: wrong(worker.model_id) }))
})

const changed = (response: HttpServerResponse.HttpServerResponse) => {
  if (response.body._tag !== "Uint8Array") return response
  return Option.match(readInventory(decoder.decode(response.body.body)), {
    onNone: () => response,
    onSome: (inventory) => HttpServerResponse.jsonUnsafe(withWrongNames(inventory))
  })
}

/** In the mode `wrong-model` the inventory names models that the hive does not have, and none of those that it has. */
export const wrongModels = HttpRouter.middleware(
  Effect.map(
    MockFaults,
    (faults) => (respond) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
        url.split("?", 1)[0] === "/v1/inventory" && faults.mode().mode === "wrong-model"
          ? Effect.map(respond, changed)
          : respond
      )
  ),
  { global: true }
)
