import * as Option from "effect/Option"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Schema from "effect/Schema"
import { type DeviceTool, type Gpu, report, runOptions, sanitized } from "./DeviceTool.ts"

const maxCards = 256

/**
 * The tool of AMD's ROCm. It prints one object with a member for each card (`card0`) and others (`system`). Field values
 * are texts, and the case of field names differs between versions. Warnings may precede the object. Memory is in bytes.
 */
export const rocmSmi: DeviceTool = {
  name: "rocm-smi",
  command: ChildProcess.make(
    "rocm-smi",
    ["--showproductname", "--showmeminfo", "vram", "--json"],
    runOptions
  ),
  parse: (output) => {
    if (output.trim() === "") return report([])
    const printed = decodeObject(output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1))
    if (Option.isNone(printed)) return report([`text '${sanitized(output, 120)}'`])
    const cards = Object.entries(printed.value).flatMap(readCard).slice(0, maxCards)
    return report(cards.map((card) => readGpu(card, indexOf(card, cards)) ?? `'${card.label}'`))
  }
}

type Fields = ReadonlyMap<string, string>

interface Card {
  readonly label: string
  readonly number: number
  readonly fields: Fields
}

const decodeObject = Schema.decodeOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))
const decodeFields = Schema.decodeUnknownOption(Schema.Record(Schema.String, Schema.Unknown))

const readCard = ([label, value]: [string, unknown]): ReadonlyArray<Card> => {
  const [, number] = /^card(\d{1,4})$/i.exec(label) ?? []
  if (number === undefined) return []
  const fields = Object.entries(Option.getOrElse(decodeFields(value), () => ({})))
  return [
    {
      label,
      number: Number(number),
      fields: new Map(fields.map(([name, value]) => [name.toLowerCase(), String(value).trim()]))
    }
  ]
}

/**
 * The tool numbers cards in its own order, but the runtime numbers them by their node in the kernel
 * (github.com/ROCm/rocm-systems, pull request 4406). Before ROCm 6.1 the tool prints no node.
 */
const indexOf = (card: Card, cards: ReadonlyArray<Card>) => {
  const nodes = new Set(cards.flatMap(({ fields }) => wholeNumber(fields.get("node id")) ?? []))
  const node = wholeNumber(card.fields.get("node id"))
  if (node === undefined || nodes.size !== cards.length) return card.number
  return [...nodes].filter((other) => other < node).length
}

const readGpu = ({ fields }: Card, index: number): Gpu | undefined => {
  const totalBytes = wholeNumber(fields.get("vram total memory (b)"))
  const usedBytes = wholeNumber(fields.get("vram total used memory (b)"))
  if (totalBytes === undefined || usedBytes === undefined) return undefined
  if (totalBytes === 0 || usedBytes > totalBytes) return undefined
  const version = fields.get("gfx version") ?? ""
  return {
    backend: "rocm",
    index,
    name: sanitized(nameOf(fields), 200),
    totalBytes,
    freeBytes: totalBytes - usedBytes,
    computeCapability: /^gfx[0-9a-f]{3,6}$/.test(version) ? version : null
  }
}

const wholeNumber = (text: string | undefined) =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

// For some cards one of these fields contains only the number of the PCI device.
const nameOf = (fields: Fields) =>
  ["card series", "device name", "card model"]
    .map((name) => fields.get(name) ?? "")
    .find((name) => name !== "" && !/^(n\/a|none|unknown|0x[0-9a-f]*)$/i.test(name)) ?? "AMD GPU"
