import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The output of a script lacks a value. */
export class UnexpectedScriptOutput extends Schema.TaggedError<UnexpectedScriptOutput>()("OddAnswer", {
  hive: Schema.String,
  missing: Schema.String
}) {
  override get message() {
    return `Unexpected script output from machine '${this.hive}': missing ${this.missing}; check its login shell`
  }
}

/** The lines `rbee:<key> <value>` of a script's output, in their order. */
export interface ScriptOutput {
  readonly all: (key: string) => ReadonlyArray<string>
  readonly first: (key: string) => string | undefined
}

/** Reads a script's output; other lines, such as those of a login shell, are skipped. */
export const parseScriptOutput = (output: string): ScriptOutput => {
  const lines = output.split(/\r?\n/).flatMap((line) => {
    const [, key, value = ""] = /^rbee:([a-z_]+) (.*)$/.exec(line) ?? []
    return key === undefined ? [] : [{ key, value }]
  })
  const all = (key: string) => lines.filter((line) => line.key === key).map(({ value }) => value)
  return { all, first: (key) => all(key)[0] }
}

/** The value of a key that the script of hive `hive` must have printed. */
export const requireValue = Effect.fnUntraced(function* (output: ScriptOutput, hive: string, key: string) {
  return output.first(key) ?? (yield* new UnexpectedScriptOutput({ hive, missing: key }))
})
