import * as Effect from "effect/Effect"
import { applies, isPattern } from "./sshPatterns.ts"
import { readSections, type Section, SshConfigUnreadable } from "./sshSections.ts"

/** A host of an ssh configuration. */
export interface SshHost {
  readonly alias: string
  readonly hostName: string
  /** The unchecked text of `Port`. */
  readonly port: string
  readonly user: string | undefined
}

const maxHosts = 1000

const appliesTo = ({ patterns }: Section, name: string) => patterns.every((list) => applies(list, name))

const hostOf = (sections: ReadonlyArray<Section>, alias: string): SshHost => {
  const own = sections.filter((section) => appliesTo(section, alias))
  const valueOf = (key: string) => own.find(({ properties }) => properties.has(key))?.properties.get(key)
  const hostName = (valueOf("hostname") ?? "%h").replace(/%([h%])/g, (_, token) =>
    token === "h" ? alias : "%"
  )
  return { alias, hostName, port: valueOf("port") ?? "22", user: valueOf("user") }
}

/**
 * The named hosts of an ssh configuration, in order. As in ssh, the first value of a property counts, also from a matching
 * pattern, and `Include` is followed. `Match` blocks are skipped, because they may run commands. See `man ssh_config`.
 */
export const readSshConfig = Effect.fn("SshConfig.read")(function* (file: string, home: string) {
  const sections = yield* readSections(file, home)
  const names = new Set(
    sections.flatMap((section) =>
      (section.patterns.at(-1) ?? []).filter((word) => !isPattern(word) && appliesTo(section, word))
    )
  )
  if (names.size > maxHosts) {
    return yield* new SshConfigUnreadable({ file, reason: `it has more than ${maxHosts} hosts` })
  }
  // Each name is compared with each block; yielding keeps the process responsive.
  return yield* Effect.forEach(names, (alias) => Effect.map(Effect.yieldNow, () => hostOf(sections, alias)))
})
