import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { HivesConf } from "../../hives/HivesConf.ts"
import type { HiveEntry } from "../../hives/HivesConfFormat.ts"
import { HiveNotConfigured } from "../forward/errors.ts"
import type { SshTarget } from "../ssh/SshTarget.ts"

/** A hive's entry in `hives.conf`, and its machine as an ssh target. */
export interface HiveTarget {
  readonly entry: HiveEntry
  readonly target: SshTarget
}

/** Finds the machines of hives in `hives.conf`. */
export class HiveTargets extends Context.Service<
  HiveTargets,
  { readonly find: (alias: string) => Effect.Effect<HiveTarget, HiveNotConfigured> }
>()("rbee/queen/lifecycle/HiveTargets") {
  static readonly layerNoDeps = Layer.effect(
    HiveTargets,
    Effect.gen(function* () {
      const hivesConf = yield* HivesConf
      return HiveTargets.of({
        find: Effect.fnUntraced(function* (alias) {
          const entries = yield* hivesConf.hives
          const entry = entries.find(({ aliases }) => aliases.includes(alias))
          if (entry === undefined) {
            return yield* new HiveNotConfigured({
              hive: alias,
              known: entries.flatMap(({ aliases }) => aliases)
            })
          }
          const { hostName, port, user } = entry
          return { entry, target: { alias, hostName, port, user } }
        })
      })
    })
  )
}
