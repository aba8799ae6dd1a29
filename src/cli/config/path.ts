import * as path from "node:path"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { Paths } from "../../settings/Paths.ts"
import { Output } from "../Output.ts"

export const configPath = Command.make(
  "path",
  {},
  Effect.fnUntraced(function* () {
    const fs = yield* FileSystem.FileSystem
    const output = yield* Output
    const { config, data, state } = yield* Paths
    const files = ["config.toml", "hives.conf", "capabilities.json", "token"]
    const present = yield* Effect.forEach(files, (name) =>
      Effect.map(
        Effect.orElseSucceed(fs.exists(path.join(config, name)), () => false),
        (exists) => ({ file: path.join(config, name), exists })
      )
    )
    yield* output.answer({ config, state, data, models: path.join(data, "models"), files: present })
  })
).pipe(
  Command.withDescription("Show the folders of settings, state and models"),
  Command.withExamples([{ command: "rbee config path" }])
)
