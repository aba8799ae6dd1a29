// Adds hives to hives.conf, one after the other: <RBEE_HOME> <prefix> <count>.
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HivesConf } from "../../src/hives/HivesConf.ts"
import { put } from "../../src/hives/HivesConfEdit.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Pids } from "../../src/system/Pids.ts"

const [, , home = "", prefix = "", count = "0"] = process.argv

const write = Effect.gen(function* () {
  const { update } = yield* HivesConf
  for (let i = 0; i < Number(count); i++) {
    const entry = {
      aliases: [`${prefix}-${i}`],
      hostName: "192.0.2.1",
      port: 22,
      user: "ann",
      hivePort: 8081
    }
    yield* update((text) => put(text, entry))
  }
})

const layer = HivesConf.layer.pipe(
  Layer.provide(Pids.layer),
  Layer.provide([Paths.layerAt(home), NodeServices.layer])
)
write.pipe(Effect.provide(layer), NodeRuntime.runMain)
