import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { bytes } from "../../job/view/progressSentence.ts"
import { systemCode, systemProblem } from "../../settings/systemProblem.ts"

/** A URL without its query, which may contain the secrets of a signed link. */
export const withoutQuery = (url: string) => url.split(/[?#]/)[0] ?? url

/** The server requires credentials (401) or denies access (403). */
export class DownloadUnauthorized extends Schema.TaggedError<DownloadUnauthorized>()("DownloadUnauthorized", {
  url: Schema.String,
  status: Schema.Int
}) {
  override get message() {
    return (
      `${this.url} answered ${this.status}: access denied or not found; check the name, and for Hugging Face ` +
      "accept the model's licence there and start the hive with HF_TOKEN"
    )
  }
}

/** The address does not exist. */
export class DownloadNotFound extends Schema.TaggedError<DownloadNotFound>()("DownloadNotFound", {
  url: Schema.String
}) {
  override get message() {
    return `${this.url} answered 404: model not found; check its name`
  }
}

/** The server rejected too many requests; `seconds` is the pause that it requested. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  url: Schema.String,
  seconds: Schema.UndefinedOr(Schema.Finite)
}) {
  override get message() {
    const when = this.seconds === undefined ? "later" : `in ${this.seconds} s`
    return `${this.url} answered 429, too many requests; try again ${when}, or set HF_TOKEN`
  }
}

/** The server returned an unusable status. */
export class ServerFailed extends Schema.TaggedError<ServerFailed>()("ServerFailed", {
  url: Schema.String,
  status: Schema.Int
}) {
  override get message() {
    return `${this.url} answered ${this.status}; retry later to resume`
  }
}

/** The connection failed, broke, or fell silent. */
export class DownloadInterrupted extends Schema.TaggedError<DownloadInterrupted>()("DownloadInterrupted", {
  url: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Download of ${this.url} interrupted: ${this.reason}; retry to resume`
  }
}

/** The server redirects too often or in a circle. */
export class TooManyRedirects extends Schema.TaggedError<TooManyRedirects>()("TooManyRedirects", {
  url: Schema.String
}) {
  override get message() {
    return `Too many redirects from ${this.url}; check the address`
  }
}

/** A private address that the owner of this machine has not allowed. */
export class PrivateAddress extends Schema.TaggedError<PrivateAddress>()("PrivateAddress", {
  url: Schema.String,
  host: Schema.String
}) {
  override get message() {
    return (
      `${this.url} resolves to a private address (${this.host}), which is not allowed; to allow it, add the host to ` +
      "models.private_hosts in config.toml"
    )
  }
}

/** The server's response is invalid. */
export class InvalidAnswer extends Schema.TaggedError<InvalidAnswer>()("InvalidAnswer", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.url} ${this.detail}; this does not look like a model server`
  }
}

/** Why a server could not be read. */
export const FetchError = Schema.Union([
  DownloadUnauthorized,
  DownloadNotFound,
  RateLimited,
  ServerFailed,
  DownloadInterrupted,
  TooManyRedirects,
  PrivateAddress,
  InvalidAnswer
])
export type FetchError = typeof FetchError.Type

/** The file does not have the announced size. Both in bytes. */
export class WrongSize extends Schema.TaggedError<WrongSize>()("WrongSize", {
  file: Schema.String,
  expected: Schema.Finite,
  got: Schema.Finite
}) {
  override get message() {
    return (
      `Size mismatch for ${this.file}: expected ${this.expected} bytes, got ${this.got}; the file was discarded; ` +
      "retry, or use another source"
    )
  }
}

/** The file does not have the announced checksum. */
export class WrongChecksum extends Schema.TaggedError<WrongChecksum>()("WrongChecksum", {
  file: Schema.String,
  expected: Schema.String,
  got: Schema.String
}) {
  override get message() {
    return (
      `Checksum mismatch for ${this.file}: expected SHA-256 ${this.expected.slice(0, 12)}…, got ${this.got.slice(0, 12)}…; ` +
      "the file was discarded; retry, or use another source"
    )
  }
}

/** The disk has too little free space. Both in bytes. */
export class DiskFull extends Schema.TaggedError<DiskFull>()("DiskFull", {
  folder: Schema.String,
  needed: Schema.Finite,
  free: Schema.Finite
}) {
  override get message() {
    return (
      `The model needs ${bytes(this.needed)} more in ${this.folder}, which has ${bytes(this.free)} free; free some space ` +
      "(see 'rbee model list'), then retry to resume"
    )
  }
}

/** A file of the models folder could not be written. */
export class FileNotWritable extends Schema.TaggedError<FileNotWritable>()("FileNotWritable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path} cannot be written: ${this.reason}`
  }
}

/** A local file, adopted or downloaded, cannot be read. */
export class FileNotReadable extends Schema.TaggedError<FileNotReadable>()("FileNotReadable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path} cannot be read: ${this.reason}`
  }
}

const placeOf = (error: unknown) =>
  Predicate.isTagged(error, "PlatformError") &&
  Predicate.hasProperty(error, "reason") &&
  Predicate.hasProperty(error.reason, "pathOrDescriptor") &&
  Predicate.isString(error.reason.pathOrDescriptor)
    ? error.reason.pathOrDescriptor
    : undefined

/** Maps a system error to one of a file of the models folder. */
export const diskError = (path: string) => (error: unknown) =>
  systemCode(error) === "ENOENT"
    ? new FileNotReadable({ path: placeOf(error) ?? path, reason: systemProblem(error) })
    : new FileNotWritable({ path, reason: systemProblem(error) })

/** Why a file could not be downloaded and verified. */
export const DownloadError = Schema.Union([
  ...FetchError.members,
  WrongSize,
  WrongChecksum,
  DiskFull,
  FileNotReadable,
  FileNotWritable
])
export type DownloadError = typeof DownloadError.Type
