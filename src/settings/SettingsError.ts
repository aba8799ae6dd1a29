import * as Schema from "effect/Schema"

const completeFile = "(file)"

/** A setting has an invalid value, or its file cannot be used. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  key: Schema.String,
  value: Schema.String,
  source: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return this.key === completeFile
      ? `${this.source} ${this.value}`
      : `Invalid setting '${this.key}' (from ${this.source}): expected ${this.expected}, got ${this.value}`
  }
}

export const unusableFile = (file: string, reason: string) =>
  new SettingsError({ key: completeFile, value: reason, source: file, expected: "a TOML document" })
