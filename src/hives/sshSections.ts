import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { systemProblem } from "../settings/systemProblem.ts"
import { isPattern, matches } from "./sshPatterns.ts"

/** The ssh configuration cannot be read. */
export class SshConfigUnreadable extends Schema.TaggedError<SshConfigUnreadable>()("SshConfigUnreadable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The ssh configuration ${this.file} cannot be read (${this.reason}); pass another one with --ssh-config`
  }
}

/** The lines of a `Host` block. They apply to a name to which each of its pattern lists applies. */
export interface Section {
  readonly patterns: ReadonlyArray<ReadonlyArray<string>>
  readonly properties: Map<string, string>
}

// For all files together.
const maxBytes = 256 * 1024
const maxFiles = 64
const maxBlocks = 2000
const maxIncludeDepth = 4

/** How much has been read of a configuration and its included files. */
interface Usage {
  files: number
  bytes: number
  blocks: number
}

const wordsOf = (text: string) => {
  const words = text.match(/"[^"]*"|[^\s"]+/g) ?? []
  const comment = words.findIndex((word) => word.startsWith("#"))
  return (comment < 0 ? words : words.slice(0, comment)).map((word) => word.replace(/^"(.*)"$/, "$1"))
}

const readText = Effect.fnUntraced(
  function* (file: string, usage: Usage) {
    const fs = yield* FileSystem.FileSystem
    const { size, type } = yield* fs.stat(file)
    if (type !== "File") return yield* new SshConfigUnreadable({ file, reason: "not a regular file" })
    usage.bytes += Number(size)
    return usage.bytes > maxBytes ? "" : yield* fs.readFileString(file)
  },
  (read, file) =>
    Effect.catchTag(read, "PlatformError", (error) =>
      Effect.fail(new SshConfigUnreadable({ file, reason: systemProblem(error) }))
    )
)

/** The files of an `Include`: a path, or a pattern in the file name, relative to `~/.ssh`. */
const includedFiles = Effect.fnUntraced(function* (word: string, home: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
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

interface Place {
  readonly home: string
  readonly outer: Section["patterns"]
  readonly depth: number
}

const sectionsOf = (
  text: string,
  { depth, home, outer }: Place,
  usage: Usage
): Effect.Effect<ReadonlyArray<Section>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const sections: Array<Section> = []
    let current: Section = { patterns: outer, properties: new Map() }
    const begin = (patterns: Section["patterns"]) => {
      current = { patterns, properties: new Map() }
      if (++usage.blocks <= maxBlocks) sections.push(current)
    }
    begin(outer)
    for (const line of text.split(/\r\n|\r|\n/)) {
      const [, name = "#", rest = ""] = /^\s*([^\s=]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? []
      const key = name.toLowerCase()
      const words = wordsOf(rest)
      if (key === "host") begin([...outer, words])
      else if (key === "match") begin([[]])
      else if (key === "include") {
        for (const other of (yield* Effect.forEach(words, (word) => includedFiles(word, home))).flat()) {
          if (depth === 0 || ++usage.files > maxFiles) continue
          const content = yield* Effect.orElseSucceed(readText(other, usage), () => "")
          const place = { home, outer: current.patterns, depth: depth - 1 }
          sections.push(...(yield* sectionsOf(content, place, usage)))
        }
        begin(current.patterns)
      } else if (!key.startsWith("#") && words[0] !== undefined && !current.properties.has(key)) {
        current.properties.set(key, words[0])
      }
    }
    return sections
  })

/** Reads the sections of a configuration and of its included files. Fails beyond the limits. */
export const readSections = Effect.fnUntraced(function* (file: string, home: string) {
  const usage: Usage = { files: 0, bytes: 0, blocks: 0 }
  const text = yield* readText(file, usage)
  const sections = yield* sectionsOf(text, { home, outer: [], depth: maxIncludeDepth }, usage)
  const tooMany = (what: string) => new SshConfigUnreadable({ file, reason: `it has more than ${what}` })
  if (usage.bytes > maxBytes) return yield* tooMany(`${maxBytes} bytes`)
  if (usage.files > maxFiles) return yield* tooMany(`${maxFiles} included files`)
  if (usage.blocks > maxBlocks) return yield* tooMany(`${maxBlocks} blocks`)
  return sections
})
