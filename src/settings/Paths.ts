import * as os from "node:os"
import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { variable } from "./environment.ts"

/** The folders of rbee on this machine, as absolute paths. They need not exist yet. */
export class Paths extends Context.Service<
  Paths,
  {
    /** Settings: `config.toml`, `hives.conf`, tokens. */
    readonly config: string
    /** What running daemons leave: process ids, logs, jobs. */
    readonly state: string
    /** Models and engines. */
    readonly data: string
  }
>()("rbee/settings/Paths") {
  /** From `RBEE_HOME`, else the XDG variables, else the home folder. */
  static readonly layer = Layer.effect(
    Paths,
    Effect.suspend(() => fromEnvironment)
  )

  /** All three below one folder. */
  static readonly layerAt = (folder: string) => Layer.succeed(Paths, below(folder))

  /** All three below a temporary folder, which is removed with the scope: for tests. */
  static readonly layerTemporary = Layer.effect(
    Paths,
    FileSystem.FileSystem.use((fs) =>
      Effect.map(Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "rbee-" })), below)
    )
  )
}

const below = (folder: string) =>
  Paths.of({
    config: path.join(folder, "config"),
    state: path.join(folder, "state"),
    data: path.join(folder, "data")
  })

const fromEnvironment = Effect.gen(function* () {
  const rbeeHome = yield* variable("RBEE_HOME")
  if (Option.isSome(rbeeHome)) return below(path.resolve(rbeeHome.value))
  const home = Option.getOrElse(yield* variable("HOME"), os.homedir)
  // The XDG specification has relative paths ignored.
  const folder = Effect.fnUntraced(function* (name: string, fallback: string) {
    const given = Option.filter(yield* variable(name), path.isAbsolute)
    return path.join(
      Option.getOrElse(given, () => path.join(home, fallback)),
      "rbee"
    )
  })
  return Paths.of({
    config: yield* folder("XDG_CONFIG_HOME", ".config"),
    state: yield* folder("XDG_STATE_HOME", ".local/state"),
    data: yield* folder("XDG_DATA_HOME", ".local/share")
  })
})
