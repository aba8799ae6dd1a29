import * as Schema from "effect/Schema"

const maxShown = 20

// Names from a server may contain control characters.
const sanitized = (name: string) => name.slice(0, 100).replace(/\p{C}/gu, "?")

/** The source exists but lacks the model file. `available`: at most 20 of its files; `others`: the number of other files. */
export class NoSuchFile extends Schema.TaggedError<NoSuchFile>()("NoSuchFile", {
  model: Schema.String,
  wanted: Schema.String,
  available: Schema.Array(Schema.String),
  others: Schema.Int
}) {
  /** The error that lists the GGUF files of the source; without any, all its files. */
  static readonly among = (model: string, wanted: string, files: ReadonlyArray<string>) => {
    const ggufs = files.filter((name) => name.endsWith(".gguf"))
    const listed = ggufs.length > 0 ? ggufs : files
    return new NoSuchFile({
      model,
      wanted: sanitized(wanted),
      available: listed.slice(0, maxShown).map(sanitized),
      others: Math.max(0, listed.length - maxShown)
    })
  }

  override get message() {
    const [first = "nothing"] = this.available
    const rest = this.others > 0 ? ` and ${this.others} more` : ""
    const advice = first.endsWith(".gguf")
      ? "name one of these after a colon"
      : "take a model that is offered as GGUF"
    return `${this.model} has no ${this.wanted}; it has ${this.available.join(", ") || first}${rest}; ${advice}`
  }
}

/** The id names a local model, or does not name a file. */
export class NotDownloadable extends Schema.TaggedError<NotDownloadable>()("NotDownloadable", {
  model: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Model '${this.model}' cannot be downloaded: ${this.reason}`
  }
}

/** A server's file name would place the file outside the model's folder. */
export class UnsafeFileName extends Schema.TaggedError<UnsafeFileName>()("HostileFileName", {
  model: Schema.String,
  name: Schema.String
}) {
  override get message() {
    return `${this.model} has a file named '${sanitized(this.name)}', which is not a safe file name; use another source`
  }
}

/** The failures of finding a model's files. */
export const SourceError = Schema.Union([NoSuchFile, NotDownloadable, UnsafeFileName])
export type SourceError = typeof SourceError.Type
