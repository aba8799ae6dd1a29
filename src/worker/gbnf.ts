// llama.cpp's grammars/README.md describes the notation. Numbers stay within the exact range of a double.
/** The rules of JSON values, which every grammar contains. */
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

/** Matches exactly the JSON text of a value. */
export const literal = (value: unknown) =>
  `"${JSON.stringify(value)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', String.raw`\"`)}"`

/** An optional expression. */
export const optionalOf = (expression: string) => `( ${expression} )?`

/** A choice of expressions. */
export const anyOf = (expressions: ReadonlyArray<string>) => `( ${expressions.join(" | ")} )`
