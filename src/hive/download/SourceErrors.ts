import * as Schema from "effect/Schema"

const maxShown = 20

// A server's names are shown in a terminal.
const sanitized = (name: string) => name.slice(0, 100).replace(/\p{C}/gu, "?")

/** The place is there, and has no such model file. `available` are at most 20 of its files, `others` says how many more. */
export class NoSuchFile extends Schema.TaggedError<NoSuchFile>()("NoSuchFile", {
  model: Schema.String,
  wanted: Schema.String,
  available: Schema.Array(Schema.String),
  others: Schema.Int
}) {
  /** Of all the files that there are, the GGUF files are told of, if there are any. */
  static readonly among = (model: string, wanted: string, files: ReadonlyArray<string>) => {
    const ggufs = files.filter((name) => name.endsWith(".gguf"))
    const told = ggufs.length > 0 ? ggufs : files
    return new NoSuchFile({
      model,
      wanted: sanitized(wanted),
      available: told.slice(0, maxShown).map(sanitized),
      others: Math.max(0, told.length - maxShown)
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

/** There is nothing to fetch for this id: it names something that is here, or no file. */
export class NotDownloadable extends Schema.TaggedError<NotDownloadable>()("NotDownloadable", {
  model: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Model '${this.model}' cannot be downloaded: ${this.reason}`
  }
}

/** A server names a file that would not lie where a model's files belong. */
export class UnsafeFileName extends Schema.TaggedError<UnsafeFileName>()("HostileFileName", {
  model: Schema.String,
  name: Schema.String
}) {
  override get message() {
    return `${this.model} has a file named '${sanitized(this.name)}', which is no name for a file here; take another source`
  }
}

/** Why it cannot be said where a model's files are. */
export const SourceError = Schema.Union([NoSuchFile, NotDownloadable, UnsafeFileName])
export type SourceError = typeof SourceError.Type
