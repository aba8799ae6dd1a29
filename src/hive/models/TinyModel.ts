import { createRequire } from "node:module"
// @effect-diagnostics nodeBuiltinImport:off -- only Node resolves the folder of a package
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"

const file = "rbee-tiny-novelist-q8_0.gguf"

/**
 * The path of the model that ships with rbee, if this installation has it. Resolving the package by its own name works
 * from a bundled file, from `dist` and from a source tree.
 */
export const tinyModelPath = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const manifest = yield* Effect.option(
    Effect.try(() => createRequire(import.meta.url).resolve("rbee/package.json"))
  )
  if (Option.isNone(manifest)) return Option.none<string>()
  const root = path.dirname(manifest.value)
  const places = ["dist", "src"].map((folder) => path.join(root, folder, "worker", "tiny", file))
  return yield* Effect.findFirst(places, (place) => Effect.orElseSucceed(fs.exists(place), () => false))
})
