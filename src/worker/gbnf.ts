// llama.cpp's notation is in its grammars/README.md. Numbers stay within what a double holds exactly.
/** The rules that every grammar has: values of JSON, and formats of strings. */
export const rules = {
  space: String.raw`| " " | "\n" [ \t]{0,20}`,
  char: String.raw`[^"\\\x7F\x00-\x1F] | "\\" ["\\/bfnrt] | "\\u" [0-9a-fA-F]{4}`,
  string: String.raw`"\"" char* "\""`,
  natural: `"0" | [1-9] [0-9]{0,14}`,
  integer: `"-"? natural`,
  decimal: `natural ( "." [0-9]{1,15} )?`,
  number: `"-"? decimal`,
  boolean: `"true" | "false"`,
  null: `"null"`,
  any: `object | array | string | number | boolean | null`,
  object: `"{" ( space pair ( "," space pair )* space )? "}"`,
  pair: `string ":" space any`,
  array: `"[" ( space any ( "," space any )* space )? "]"`,
  date: `[0-9]{4} "-" ( "0" [1-9] | "1" [0-2] ) "-" ( "0" [1-9] | "1" [0-9] | "2" [0-8] )`,
  time: `( [01] [0-9] | "2" [0-3] ) ":" [0-5] [0-9] ":" [0-5] [0-9] ( "Z" | [+-] ( "0" [0-9] | "1" [0-3] ) ":" [0-5] [0-9] )`,
  uuid: `[0-9a-f]{8} "-" [0-9a-f]{4} "-" [1-8] [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}`
}

/** What is between the quotes of a string of a format. */
export const formats: { readonly [format: string]: string } = {
  date: "date",
  time: "time",
  "date-time": `date "T" time`,
  uuid: "uuid"
}

/** A value as its JSON, to the byte. */
export const literal = (value: unknown) =>
  `"${JSON.stringify(value)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', String.raw`\"`)}"`

/** What may be left out. */
export const optionalOf = (expression: string) => `( ${expression} )?`

/** One of several. */
export const anyOf = (expressions: ReadonlyArray<string>) => `( ${expressions.join(" | ")} )`
