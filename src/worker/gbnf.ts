// llama.cpp's notation is in its grammars/README.md. Numbers stay within what a double holds exactly.
/** The rules that every grammar has: values of JSON. */
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
  array: `"[" ( space any ( "," space any )* space )? "]"`
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
