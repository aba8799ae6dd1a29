import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { bytes } from "../../job/view/progressSentence.ts"
import { systemCode, systemProblem } from "../../settings/systemProblem.ts"

/** A URL as it may be shown: a signed link carries secrets in its query. */
export const shownUrl = (url: string) => url.split(/[?#]/)[0] ?? url

/** The server wants to know who asks (401), or does not give it to this one (403). */
export class DownloadUnauthorized extends Schema.TaggedError<DownloadUnauthorized>()("DownloadUnauthorized", {
  url: Schema.String,
  status: Schema.Int
}) {
  override get message() {
    return (
      `${this.url} answered ${this.status}: it is not open to everybody, or not there; check its name, and for Hugging Face ` +
      "accept the model's licence there and start the hive with HF_TOKEN"
    )
  }
}

/** There is nothing at the address. */
export class DownloadNotFound extends Schema.TaggedError<DownloadNotFound>()("DownloadNotFound", {
  url: Schema.String
}) {
  override get message() {
    return `${this.url} answered 404: there is no such model; check its name`
  }
}

/** The server has had too many requests; `seconds` is how long it wants to be left alone. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  url: Schema.String,
  seconds: Schema.UndefinedOr(Schema.Finite)
}) {
  override get message() {
    const when = this.seconds === undefined ? "later" : `in ${this.seconds} s`
    return `${this.url} answered 429, too many requests; try again ${when}, or set HF_TOKEN`
  }
}

/** The server answered with a status that nothing can be made of. */
export class ServerFailed extends Schema.TaggedError<ServerFailed>()("ServerFailed", {
  url: Schema.String,
  status: Schema.Int
}) {
  override get message() {
    return `${this.url} answered ${this.status}; try again later: what has come is kept`
  }
}

/** No connection came about, or it broke, or nothing came any more. */
export class DownloadInterrupted extends Schema.TaggedError<DownloadInterrupted>()("DownloadInterrupted", {
  url: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The download of ${this.url} broke off: ${this.reason}; ask for it again: what has come is kept`
  }
}

/** One address led to the next, too often or in a circle. */
export class TooManyRedirects extends Schema.TaggedError<TooManyRedirects>()("TooManyRedirects", {
  url: Schema.String
}) {
  override get message() {
    return `${this.url} redirects too often or in a circle; check the address`
  }
}

/** An address that only the owner of this machine may name. */
export class PrivateAddress extends Schema.TaggedError<PrivateAddress>()("PrivateAddress", {
  url: Schema.String,
  host: Schema.String
}) {
  override get message() {
    return (
      `${this.url} leads to a private address (${this.host}), where models are not taken from; if it is yours, add the ` +
      "host to models.private_hosts in config.toml"
    )
  }
}

/** The server's answer makes no sense. */
export class InvalidAnswer extends Schema.TaggedError<InvalidAnswer>()("InvalidAnswer", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.url} ${this.detail}; it does not seem to be a server of models`
  }
}

/** Why something on a server could not be read. */
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

/** The file has another size than was announced. Both in bytes. */
export class WrongSize extends Schema.TaggedError<WrongSize>()("WrongSize", {
  file: Schema.String,
  expected: Schema.Finite,
  got: Schema.Finite
}) {
  override get message() {
    return (
      `${this.file} has ${this.got} bytes where ${this.expected} were announced, and was thrown away; ` +
      "try again, or take another source"
    )
  }
}

/** The file is not the one that was announced. */
export class WrongChecksum extends Schema.TaggedError<WrongChecksum>()("WrongChecksum", {
  file: Schema.String,
  expected: Schema.String,
  got: Schema.String
}) {
  override get message() {
    return (
      `${this.file} has the SHA-256 ${this.got.slice(0, 12)}… where ${this.expected.slice(0, 12)}… was announced, and was ` +
      "thrown away; try again, or take another source"
    )
  }
}

/** The disk has too little room. Both in bytes. */
export class DiskFull extends Schema.TaggedError<DiskFull>()("DiskFull", {
  folder: Schema.String,
  needed: Schema.Finite,
  free: Schema.Finite
}) {
  override get message() {
    return (
      `The model needs ${bytes(this.needed)} more in ${this.folder}, which has ${bytes(this.free)} free; make room ` +
      "('rbee model list' shows what is there), then ask again: what has come is kept"
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

/** A file of this machine, one that is to be adopted or one that was downloaded, cannot be read. */
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

/** What a system error means for a file of the models folder. */
export const diskError = (path: string) => (error: unknown) =>
  systemCode(error) === "ENOENT"
    ? new FileNotReadable({ path: placeOf(error) ?? path, reason: systemProblem(error) })
    : new FileNotWritable({ path, reason: systemProblem(error) })

/** Why a file did not come, whole and checked. */
export const DownloadError = Schema.Union([
  ...FetchError.members,
  WrongSize,
  WrongChecksum,
  DiskFull,
  FileNotReadable,
  FileNotWritable
])
export type DownloadError = typeof DownloadError.Type
