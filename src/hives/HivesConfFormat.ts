import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** An entry of `hives.conf`: a hive on another machine. */
export interface HiveEntry {
  readonly aliases: ReadonlyArray<string>
  readonly hostName: string
  /** The port of ssh. */
  readonly port: number
  readonly user: string
  /** The port of the hive's daemon. */
  readonly hivePort: number
  readonly binaryPath?: string
}

/** `hives.conf` has an invalid line, or cannot be read or written. */
export class HivesConfError extends Schema.TaggedError<HivesConfError>()("HivesConfError", {
  file: Schema.String,
  line: Schema.Int,
  host: Schema.String,
  field: Schema.String,
  value: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    if (this.field === "(file)") return `${this.file}: expected ${this.expected}; ${this.value}`
    const host = this.host === "" ? "" : `, host '${this.host}'`
    return `${this.file}, line ${this.line}${host}: ${this.field}: expected ${this.expected}, got '${this.value}'`
  }
}

interface Property {
  readonly line: number
  readonly value: string
}

interface Block {
  readonly line: number
  readonly aliases: ReadonlyArray<string>
  readonly properties: Map<string, Property>
}

const aliasForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const hostForm = /^[A-Za-z0-9:][A-Za-z0-9._:-]{0,254}$/
const userForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/
const pathForm = /^[A-Za-z0-9._/~][A-Za-z0-9._/~ -]{0,1023}$/

/** Whether a text is a valid alias. */
export const isAlias = (name: string) => aliasForm.test(name)

/** The port in a text, 1 to 65535. */
export const portOf = (value: string) => {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}

const matching = (form: RegExp) => (value: string) => (form.test(value) ? value : undefined)

/** Parses the text of `hives.conf`. Keys are case-insensitive; unknown keys and `Host *` are skipped. */
export const parseHivesConf = (
  text: string,
  file: string
): Result.Result<ReadonlyArray<HiveEntry>, HivesConfError> =>
  Result.gen(function* () {
    const entries: Array<HiveEntry> = []
    const seen = new Set<string>()
    for (const block of yield* readBlocks(text, file)) {
      if (block.aliases.includes("*")) continue
      const [host = ""] = block.aliases
      const refuse = (line: number, field: string, value: string, expected: string) =>
        Result.fail(new HivesConfError({ file, line, host, field, value, expected }))

      for (const alias of block.aliases) {
        if (!isAlias(alias))
          return yield* refuse(block.line, "Host", alias, "letters, digits, '.', '_' and '-'")
        if (seen.has(alias))
          return yield* refuse(block.line, "Host", alias, "an alias that is not used twice")
        seen.add(alias)
      }

      const field = <A>(name: string, expected: string, read: (value: string) => A | undefined) => {
        const property = block.properties.get(name.toLowerCase())
        if (property === undefined) return refuse(block.line, name, "", `${expected} (it is missing)`)
        const value = read(property.value)
        return value === undefined
          ? refuse(property.line, name, property.value, expected)
          : Result.succeed(value)
      }
      const optional = <A>(name: string, expected: string, read: (value: string) => A | undefined) =>
        block.properties.has(name.toLowerCase()) ? field(name, expected, read) : Result.succeed(undefined)

      const hostName = yield* field("HostName", "a host name or an address", matching(hostForm))
      const user = yield* field("User", "a user name", matching(userForm))
      const hivePort = yield* field("HivePort", "a port from 1 to 65535", portOf)
      const port = (yield* optional("Port", "a port from 1 to 65535", portOf)) ?? 22
      const binaryPath = yield* optional("BinaryPath", "a path without shell characters", matching(pathForm))
      entries.push({
        aliases: block.aliases,
        hostName,
        port,
        user,
        hivePort,
        ...(binaryPath === undefined ? {} : { binaryPath })
      })
    }
    return entries
  })

const readBlocks = (text: string, file: string): Result.Result<ReadonlyArray<Block>, HivesConfError> => {
  const blocks: Array<Block> = []
  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1
    const content = raw.trim()
    if (content === "" || content.startsWith("#")) continue
    const [, key = "", value = ""] = /^([^\s=]+)(?:\s*=\s*|\s+|$)(.*)$/s.exec(content) ?? []
    if (key.toLowerCase() === "host") {
      blocks.push({
        line,
        aliases: value.split(/\s+/).filter((alias) => alias !== ""),
        properties: new Map()
      })
      if (value === "") {
        return Result.fail(
          new HivesConfError({ file, line, host: "", field: "Host", value, expected: "an alias" })
        )
      }
      continue
    }
    const block = blocks.at(-1)
    if (block === undefined) {
      const expected = "a 'Host' line before the first property"
      return Result.fail(new HivesConfError({ file, line, host: "", field: key, value, expected }))
    }
    block.properties.set(key.toLowerCase(), { line, value })
  }
  return Result.succeed(blocks)
}
