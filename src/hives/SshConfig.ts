import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { systemProblem } from "../settings/systemProblem.ts"

/** The ssh configuration cannot be read. */
export class SshConfigUnreadable extends Schema.TaggedError<SshConfigUnreadable>()("SshConfigUnreadable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The ssh configuration ${this.file} cannot be read (${this.reason}); name another with --ssh-config`
  }
}

/** A host that an ssh configuration names, with what it says of it. */
export interface SshHost {
  readonly alias: string
  readonly hostName: string
  /** As it stands there, so not always a port. */
  readonly port: string
  readonly user: string | undefined
}

/** The lines of a `Host` block: they count for a name that each of its lists of patterns takes. */
interface Section {
  readonly patterns: ReadonlyArray<ReadonlyArray<string>>
  readonly properties: Map<string, string>
}

// Of all files together.
const maxBytes = 256 * 1024
const maxFiles = 64
const maxBlocks = 2000
const maxHosts = 1000
const maxIncludeDepth = 4

const wordsOf = (text: string) => {
  const words = text.match(/"[^"]*"|[^\s"]+/g) ?? []
  const comment = words.findIndex((word) => word.startsWith("#"))
  return (comment < 0 ? words : words.slice(0, comment)).map((word) => word.replace(/^"(.*)"$/, "$1"))
}

const isPattern = (word: string) => /[*?!]/.test(word)

// In steps instead of by a regular expression, whose time some patterns let grow without bound.
const matches = (pattern: string, name: string) => {
  let [at, index, star, taken] = [0, 0, -1, 0]
  while (index < name.length) {
    if (pattern[at] === "*") {
      star = at++
      taken = index
    } else if (pattern[at] === "?" || pattern[at] === name[index]) {
      at++
      index++
    } else if (star >= 0) {
      at = star + 1
      index = ++taken
    } else return false
  }
  return /^\**$/.test(pattern.slice(at))
}

// A name that a pattern with '!' takes is out, whatever the others say.
const takes = (patterns: ReadonlyArray<string>, name: string) =>
  patterns.some((pattern) => !pattern.startsWith("!") && matches(pattern, name)) &&
  !patterns.some((pattern) => pattern.startsWith("!") && matches(pattern.slice(1), name))

/**
 * The hosts that an ssh configuration names, without patterns, in their order. As in ssh, the first value of a property
 * counts, those of patterns that take the name included, and `Include` is followed. `Match` blocks are passed over:
 * they may run commands. Nothing is run. See `man ssh_config`.
 */
export const readSshConfig = Effect.fn("SshConfig.read")(function* (file: string, home: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  let files = 0
  let bytes = 0
  let blocks = 0

  const textOf = (name: string) =>
    Effect.gen(function* () {
      const { size, type } = yield* fs.stat(name)
      if (type !== "File") return yield* new SshConfigUnreadable({ file: name, reason: "it is no file" })
      bytes += Number(size)
      if (bytes > maxBytes) return ""
      return yield* fs.readFileString(name)
    }).pipe(
      Effect.catchTag("PlatformError", (error) =>
        Effect.fail(new SshConfigUnreadable({ file: name, reason: systemProblem(error) }))
      )
    )

  /** The files that an `Include` names: a path, or a pattern in a file's name, relative to `~/.ssh`. */
  const included = Effect.fnUntraced(function* (word: string) {
    const named = path.resolve(home, ".ssh", word.startsWith("~/") ? path.join(home, word.slice(2)) : word)
    const last = path.basename(named)
    if (!isPattern(last)) return [named]
    const folder = path.dirname(named)
    const inside = yield* Effect.orElseSucceed(fs.readDirectory(folder), (): ReadonlyArray<string> => [])
    return inside
      .filter((name) => matches(last, name))
      .toSorted()
      .map((name) => path.join(folder, name))
  })

  const sectionsOf = (
    text: string,
    outer: Section["patterns"],
    depth: number
  ): Effect.Effect<ReadonlyArray<Section>> =>
    Effect.gen(function* () {
      const sections: Array<Section> = []
      let current: Section = { patterns: outer, properties: new Map() }
      const begin = (patterns: Section["patterns"]) => {
        current = { patterns, properties: new Map() }
        if (++blocks <= maxBlocks) sections.push(current)
      }
      begin(outer)
      for (const line of text.split(/\r\n|\r|\n/)) {
        const [, name = "#", rest = ""] = /^\s*([^\s=]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? []
        const key = name.toLowerCase()
        const words = wordsOf(rest)
        if (key === "host") begin([...outer, words])
        else if (key === "match") begin([[]])
        else if (key === "include") {
          for (const other of (yield* Effect.forEach(words, included)).flat()) {
            if (depth === 0 || ++files > maxFiles) continue
            const content = yield* Effect.orElseSucceed(textOf(other), () => "")
            sections.push(...(yield* sectionsOf(content, current.patterns, depth - 1)))
          }
          begin(current.patterns)
        } else if (!key.startsWith("#") && words[0] !== undefined && !current.properties.has(key)) {
          current.properties.set(key, words[0])
        }
      }
      return sections
    })

  const sections = yield* sectionsOf(yield* textOf(file), [], maxIncludeDepth)
  const tooMany = (what: string) => new SshConfigUnreadable({ file, reason: `it has more than ${what}` })
  if (bytes > maxBytes) return yield* tooMany(`${maxBytes} bytes`)
  if (files > maxFiles) return yield* tooMany(`${maxFiles} included files`)
  if (blocks > maxBlocks) return yield* tooMany(`${maxBlocks} blocks`)
  const holds = ({ patterns }: Section, name: string) => patterns.every((list) => takes(list, name))
  const names = new Set(
    sections.flatMap((section) =>
      (section.patterns.at(-1) ?? []).filter((word) => !isPattern(word) && holds(section, word))
    )
  )
  if (names.size > maxHosts) return yield* tooMany(`${maxHosts} hosts`)
  const hostOf = (alias: string): SshHost => {
    const taking = sections.filter((section) => holds(section, alias))
    const valueOf = (key: string) => taking.find(({ properties }) => properties.has(key))?.properties.get(key)
    const hostName = (valueOf("hostname") ?? "%h").replace(/%([h%])/g, (_, token) =>
      token === "h" ? alias : "%"
    )
    return { alias, hostName, port: valueOf("port") ?? "22", user: valueOf("user") }
  }
  // Each name is held against each block, which must not keep the process from its other work.
  return yield* Effect.forEach(names, (alias) => Effect.map(Effect.yieldNow, () => hostOf(alias)))
})
