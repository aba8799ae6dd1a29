import type { HiveEntry } from "./HivesConfFormat.ts"

interface Line {
  readonly indent: string
  readonly key: string
  readonly between: string
  readonly value: string
  /** The spaces at the end and the line break. */
  readonly end: string
}

interface Block {
  readonly aliases: ReadonlyArray<string>
  /** The line of `Host`, and the line after the block's last property. */
  readonly start: number
  readonly end: number
}

// Lines keep their breaks, so that unchanged lines stay identical.
const linesOf = (text: string): ReadonlyArray<string> => text.match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+/g) ?? []

const lineBreakOf = (text: string) => /\r\n|\r|\n/.exec(text)?.[0] ?? "\n"

const form = /^(\s*)([^\s=#][^\s=]*)([^\S\r\n]*=[^\S\r\n]*|[^\S\r\n]+)?(.*?)(\s*)$/s

const read = (line: string): Line | undefined => {
  const found = form.exec(line)
  if (found === null) return undefined
  const [, indent = "", key = "", between = " ", value = "", end = ""] = found
  return { indent, key, between, value, end }
}

const hasKey = (key: string) => (line: string) => read(line)?.key.toLowerCase() === key.toLowerCase()

const withValue = (line: string, value: string) => {
  const found = read(line)
  if (found === undefined || found.value === value) return line
  return found.indent + found.key + found.between + value + found.end
}

const blocksOf = (lines: ReadonlyArray<string>): ReadonlyArray<Block> => {
  const blocks: Array<{ aliases: ReadonlyArray<string>; start: number; end: number }> = []
  for (const [index, line] of lines.entries()) {
    const found = read(line)
    const last = blocks.at(-1)
    if (found?.key.toLowerCase() === "host") {
      blocks.push({ aliases: found.value.split(/\s+/), start: index, end: index + 1 })
    } else if (found !== undefined && last !== undefined) last.end = index + 1
  }
  return blocks.filter(({ aliases }) => !aliases.includes("*"))
}

interface Property {
  readonly key: string
  readonly value: string | undefined
  /** What holds where the property is absent. */
  readonly absent?: string
}

const propertiesOf = (entry: HiveEntry): ReadonlyArray<Property> => [
  { key: "HostName", value: entry.hostName },
  { key: "Port", value: String(entry.port), absent: "22" },
  { key: "User", value: entry.user },
  { key: "HivePort", value: String(entry.hivePort) },
  { key: "BinaryPath", value: entry.binaryPath }
]

const withProperty = (body: ReadonlyArray<string>, property: Property, lineBreak: string) => {
  const { absent, key, value } = property
  if (value === undefined) return body.filter((line) => !hasKey(key)(line))
  // The last property of a name counts.
  const at = body.findLastIndex(hasKey(key))
  if (at >= 0) return body.with(at, withValue(body[at] ?? "", value))
  if (value === absent) return body
  const ended = [...body.slice(0, -1), (body.at(-1) ?? "").replace(/(?<![\r\n])$/, lineBreak)]
  const indent = body.slice(1).flatMap((line) => read(line)?.indent ?? [])[0] ?? "  "
  return [...ended, `${indent}${key} ${value}${lineBreak}`]
}

const withAliases = (line: string, aliases: ReadonlyArray<string>) =>
  read(line)?.value.split(/\s+/).join(" ") === aliases.join(" ") ? line : withValue(line, aliases.join(" "))

/** Adds a hive to the text of `hives.conf`, or changes the one with one of its aliases. Other lines stay unchanged. */
export const put = (text: string, entry: HiveEntry): string => {
  const lines = linesOf(text)
  const lineBreak = lineBreakOf(text)
  const filled = (body: ReadonlyArray<string>) =>
    propertiesOf(entry).reduce((filling, property) => withProperty(filling, property, lineBreak), body)

  const block = blocksOf(lines).find(({ aliases }) => entry.aliases.some((alias) => aliases.includes(alias)))
  if (block !== undefined) {
    const [host = "", ...body] = lines.slice(block.start, block.end)
    const changed = filled([withAliases(host, entry.aliases), ...body])
    return [...lines.slice(0, block.start), ...changed, ...lines.slice(block.end)].join("")
  }
  const before = text === "" || /[\r\n]$/.test(text) ? text : text + lineBreak
  const gap = before === "" || /(?:\r\n|\r|\n){2}$/.test(before) ? "" : lineBreak
  return before + gap + filled([`Host ${entry.aliases.join(" ")}${lineBreak}`]).join("")
}

/** Removes an alias from the text, and its block if it was the only one. Other lines stay unchanged. */
export const remove = (text: string, alias: string): string => {
  const lines = linesOf(text)
  const block = blocksOf(lines).find(({ aliases }) => aliases.includes(alias))
  if (block === undefined) return text
  const others = block.aliases.filter((other) => other !== alias)
  const [host = "", ...body] = lines.slice(block.start, block.end)
  const left = others.length === 0 ? [] : [withAliases(host, others), ...body]
  return [...lines.slice(0, block.start), ...left, ...lines.slice(block.end)].join("")
}
