import * as os from "node:os"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { HivesConf } from "../../hives/HivesConf.ts"
import * as HivesConfEdit from "../../hives/HivesConfEdit.ts"
import {
  type HiveEntry,
  type HivesConfError,
  isAlias,
  parseHivesConf,
  portOf
} from "../../hives/HivesConfFormat.ts"
import { readSshConfig, type SshHost } from "../../hives/SshConfig.ts"
import type { SshConfigUnreadable } from "../../hives/sshSections.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { variable } from "../../settings/environment.ts"
import type { LockHeld } from "../../system/FileLock.ts"

/** The result of an import, for each host of the ssh configuration. */
export type ImportReport = {
  readonly imported: number
  readonly existing: number
  readonly skipped: number
  readonly hosts: ReadonlyArray<{
    readonly alias: string
    readonly state: "existing" | "imported" | "skipped"
    readonly reason?: string
  }>
}

/** Imports the hosts of an ssh configuration into `hives.conf`. */
export class HiveImport extends Context.Service<
  HiveImport,
  {
    /** Keeps existing entries; skips hosts that are not valid in `hives.conf`, with the reason. */
    readonly run: (
      request: { readonly path: string; readonly defaultHivePort: number },
      narrate: Narrate
    ) => Effect.Effect<ImportReport, HivesConfError | LockHeld | SshConfigUnreadable>
  }
>()("rbee/queen/lifecycle/HiveImport") {
  static readonly layerNoDeps = Layer.effect(
    HiveImport,
    Effect.suspend(() => make)
  )
}

const ownUser = Effect.gen(function* () {
  const login = yield* variable("LOGNAME")
  const named = Option.orElse(yield* variable("USER"), () => login)
  if (Option.isSome(named)) return named.value
  // A user id may have no name.
  return yield* Effect.orElseSucceed(
    Effect.try(() => os.userInfo().username),
    () => ""
  )
})

const aliasesIn = (text: string) => {
  const entries = Result.getOrElse(parseHivesConf(text, ""), (): ReadonlyArray<HiveEntry> => [])
  return new Set(entries.flatMap(({ aliases }) => aliases))
}

const refuse = (field: string, expected: string, value: string) =>
  Result.fail(`${field}: expected ${expected}, got '${value.replace(/\p{C}/gu, "?")}'`)

/** The entry for `hives.conf`, or why it is invalid. */
const entryOf = (host: SshHost, user: string, hivePort: number): Result.Result<HiveEntry, string> => {
  const { alias, hostName } = host
  if (!isAlias(alias)) return refuse("Host", "letters, digits, '.', '_' and '-'", alias)
  const port = portOf(host.port)
  if (port === undefined) return refuse("Port", "a port from 1 to 65535", host.port)
  const entry: HiveEntry = { aliases: [alias], hostName, port, user: host.user ?? user, hivePort }
  return Result.match(parseHivesConf(HivesConfEdit.put("", entry), ""), {
    onFailure: ({ expected, field, value }) => refuse(field, expected, value),
    onSuccess: () => Result.succeed(entry)
  })
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const hivesConf = yield* HivesConf
  const home = Option.getOrElse(yield* variable("HOME"), os.homedir)
  const user = yield* ownUser

  const read = (file: string) =>
    readSshConfig(file, home).pipe(
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Path.Path, path)
    )

  const run = Effect.fn("HiveImport.run")(function* (
    request: { readonly path: string; readonly defaultHivePort: number },
    narrate: Narrate
  ) {
    const requested = request.path.startsWith("~/") ? path.join(home, request.path.slice(2)) : request.path
    const file = path.resolve(requested)
    const found = yield* read(file)
    yield* narrate("hive_import", `Found ${found.length} hosts in ${file}`)
    const candidates = found.map((host) => ({
      alias: host.alias,
      entry: entryOf(host, user, request.defaultHivePort)
    }))

    // Existing entries are read with the lock held, since the file may have changed.
    let known: ReadonlySet<string> = new Set()
    yield* hivesConf.update((text) => {
      known = aliasesIn(text)
      return candidates.reduce(
        (written, { alias, entry }) =>
          Result.isSuccess(entry) && !known.has(alias) ? HivesConfEdit.put(written, entry.success) : written,
        text
      )
    })

    const hosts = candidates.map(({ alias, entry }): ImportReport["hosts"][number] => {
      if (known.has(alias)) return { alias, state: "existing" }
      if (Result.isSuccess(entry)) return { alias, state: "imported" }
      return { alias: alias.replace(/\p{C}/gu, "?"), state: "skipped", reason: entry.failure }
    })
    const count = (state: string) => hosts.filter((host) => host.state === state).length
    return { imported: count("imported"), existing: count("existing"), skipped: count("skipped"), hosts }
  })

  return HiveImport.of({ run })
})
