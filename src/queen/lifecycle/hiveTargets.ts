import * as Effect from "effect/Effect"
import { HivesConf } from "../../hives/HivesConf.ts"
import { HiveNotConfigured } from "../forward/errors.ts"
import type { SshTarget } from "../ssh/SshTarget.ts"

/** A function that finds a hive's entry in `hives.conf` and its ssh target. */
export const hiveTargets = Effect.gen(function* () {
  const hivesConf = yield* HivesConf
  return Effect.fnUntraced(function* (alias: string) {
    const entries = yield* hivesConf.hives
    const entry = entries.find(({ aliases }) => aliases.includes(alias))
    if (entry === undefined) {
      return yield* new HiveNotConfigured({ hive: alias, known: entries.flatMap(({ aliases }) => aliases) })
    }
    const { hostName, port, user } = entry
    const target: SshTarget = { alias, hostName, port, user }
    return { entry, target }
  })
})
