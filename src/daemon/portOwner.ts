import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Paths } from "../settings/Paths.ts"
import { RunFile } from "../system/PidFile.ts"

const portOf = (url: string) => URL.parse(url)?.port

const described = (name: string) => (name === "queen" ? "the queen" : `hive '${name.replace(/^hive-/, "")}'`)

const stopCommand = (name: string) =>
  name === "queen" ? "rbee queen stop" : `rbee hive stop ${name.replace(/^hive-/, "")}`

/** Which daemon of this home has a port, as a sentence names it, and the command that stops it. */
export interface PortOwner {
  readonly who: string
  readonly stop: string
}

/** The daemon of rbee that has a port, by the state files of this home; nothing when none of them does. */
export const portOwner = Effect.fnUntraced(function* (port: number) {
  const runFiles = yield* Effect.serviceOption(RunFile)
  const paths = yield* Effect.serviceOption(Paths)
  if (Option.isNone(runFiles)) return undefined
  for (const name of yield* runFiles.value.names) {
    const owner = (yield* runFiles.value.processes(name)).find(
      ({ pid, url }) => pid !== process.pid && portOf(url) === String(port)
    )
    if (owner === undefined) continue
    const home = Option.match(paths, { onNone: () => "", onSome: ({ state }) => `, state in ${state}` })
    const found: PortOwner = {
      who: `${described(name)} (process ${owner.pid}${home})`,
      stop: stopCommand(name)
    }
    return found
  }
  return undefined
})
