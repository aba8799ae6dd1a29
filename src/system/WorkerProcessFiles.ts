import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Paths } from "../settings/Paths.ts"
import { ProcessId } from "./Pids.ts"

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ process: ProcessId })))

/**
 * The worker processes that the hives of this home recorded in `<state>/hives/<hive id>/workers/*.json`. A command uses them
 * to end workers whose hive cannot.
 */
export class WorkerProcessFiles extends Context.Service<
  WorkerProcessFiles,
  {
    readonly list: Effect.Effect<ReadonlyArray<ProcessId>>
    readonly ofHive: (hiveId: string) => Effect.Effect<ReadonlyArray<ProcessId>>
  }
>()("rbee/system/WorkerProcessFiles") {
  static readonly layer = Layer.effect(
    WorkerProcessFiles,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { state } = yield* Paths
      const hives = path.join(state, "hives")

      const entries = (folder: string) =>
        Effect.orElseSucceed(fs.readDirectory(folder), (): ReadonlyArray<string> => [])

      const ofHive = Effect.fnUntraced(function* (hiveId: string) {
        const folder = path.join(hives, hiveId, "workers")
        const files = (yield* entries(folder)).filter((name) => name.endsWith(".json"))
        const texts = yield* Effect.forEach(files, (name) =>
          Effect.orElseSucceed(fs.readFileString(path.join(folder, name)), () => "")
        )
        return texts.flatMap((text) => Option.toArray(Option.map(decode(text), ({ process }) => process)))
      })

      return WorkerProcessFiles.of({
        ofHive,
        list: Effect.map(Effect.flatMap(entries(hives), Effect.forEach(ofHive)), (lists) => lists.flat())
      })
    })
  )
}
