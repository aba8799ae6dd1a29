import type * as Schema from "effect/Schema"
import stringWidth from "string-width"

type Row = { readonly [column: string]: Schema.Json }

const isRecord = (value: Schema.Json): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const cell = (value: Schema.Json | undefined): string => {
  if (value === undefined || value === null || value === "") return "-"
  // oxlint-disable-next-line no-control-regex -- a control character would move the terminal's cursor
  return (typeof value === "string" ? value : JSON.stringify(value)).replace(/[\u0000-\u001f\u007f]+/g, " ")
}

const pad = (text: string, width: number) => text + " ".repeat(Math.max(0, width - stringWidth(text)))

const layOut = (rows: ReadonlyArray<ReadonlyArray<string>>) => {
  const widths: Array<number> = []
  for (const row of rows) {
    for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, stringWidth(text))
  }
  return rows
    .map((row) =>
      row
        .map((text, i) => pad(text, widths[i] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** Rows with their columns in the order in which they were first seen; a missing cell is `-`. */
export const table = (rows: ReadonlyArray<Row>) => {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  return layOut([columns, ...rows.map((row) => columns.map((column) => cell(row[column])))])
}

const section = (name: string, rows: ReadonlyArray<Schema.Json>) => {
  const records = rows.filter(isRecord)
  if (rows.length === 0) return `No ${name}.`
  return records.length === rows.length ? table(records) : rows.map(cell).join("\n")
}

/** The result of an operation for people: lists as tables, a record as its fields, a text unchanged. */
export const render = (result: Schema.Json): string => {
  if (!isRecord(result)) return Array.isArray(result) ? section("entries", result) : cell(result)
  const { finish_reason, text } = result
  if (typeof text === "string" && finish_reason !== undefined) return text
  const lists = Object.entries(result).filter((entry): entry is [string, ReadonlyArray<Schema.Json>] =>
    Array.isArray(entry[1])
  )
  const facts = Object.entries(result).filter(([, value]) => !Array.isArray(value))
  const blocks = lists.map(([name, rows]) => {
    const block = section(name, rows)
    return lists.length + facts.length > 1 && rows.length > 0 ? `${name}:\n${block}` : block
  })
  const factBlock =
    facts.length === 0 ? [] : [layOut(facts.map(([name, value]) => [`${name}:`, cell(value)]))]
  return [...factBlock, ...blocks].join("\n\n")
}
