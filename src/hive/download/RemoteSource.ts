import * as Effect from "effect/Effect"
import { DownloadInterrupted, InvalidAnswer, withoutQuery } from "./errors.ts"
import type { Fetcher, OpenResponse } from "./Fetcher.ts"
import type { RemoteFile } from "./RemoteModel.ts"
import { RemoteFileChanged } from "./withRetries.ts"

/** What the headers of a server's response state about a file. */
export interface RemoteFacts {
  readonly size: number | undefined
  /** A strong entity tag, else null. */
  readonly etag: string | null
  readonly hasRanges: boolean
}

const contentRange = /^bytes (\d+)-(\d+)\/(\d+|\*)$/

const integer = (text: string | undefined) =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

export const factsOf = ({ headers, status }: Pick<OpenResponse, "headers" | "status">): RemoteFacts => {
  const [, , , total] = contentRange.exec(headers["content-range"] ?? "") ?? []
  const size = integer(status === 206 ? total : headers["content-length"])
  const etag = headers["etag"]
  return {
    size,
    // A weak tag does not identify the bytes.
    etag: etag === undefined || etag.startsWith("W/") ? null : etag,
    hasRanges: status === 206 && size !== undefined
  }
}

/** A file on a server, read in ranges or completely. */
export class RemoteSource {
  /** The URL without its query, for messages. */
  readonly url: string
  readonly #file: RemoteFile
  readonly #fetcher: Fetcher["Service"]

  constructor(fetcher: Fetcher["Service"], file: RemoteFile) {
    this.#fetcher = fetcher
    this.#file = file
    this.url = withoutQuery(file.url)
  }

  open(headers: Readonly<Record<string, string>> = {}) {
    return this.#fetcher.open({
      url: this.#file.url,
      access: this.#file.access,
      // A compressed response has neither the size nor the ranges of the file.
      headers: { "accept-encoding": "identity", ...headers }
    })
  }

  get facts() {
    return Effect.scoped(Effect.map(this.open({ range: "bytes=0-0" }), factsOf))
  }

  /** Opens the bytes `from` to `to`, inclusive. Fails when the file has changed, or the server sends another range. */
  openRange(
    from: number,
    to: number,
    { etag, size }: { readonly etag: string | null; readonly size: number }
  ) {
    const headers = { range: `bytes=${from}-${to}`, ...(etag === null ? {} : { "if-range": etag }) }
    const check = (opened: OpenResponse): Effect.Effect<OpenResponse, RemoteFileChanged | InvalidAnswer> => {
      if (opened.status === 200) return Effect.fail(new RemoteFileChanged({ url: this.url }))
      const range = opened.headers["content-range"] ?? ""
      if (range === `bytes ${from}-${to}/${size}` || range === `bytes ${from}-${to}/*`) {
        return Effect.succeed(opened)
      }
      const detail = `answered with the range '${range.slice(0, 60)}' instead of ${from}-${to} of ${size}`
      return Effect.fail(new InvalidAnswer({ url: this.url, detail }))
    }
    return Effect.flatMap(this.open(headers), check)
  }

  endedEarly() {
    return new DownloadInterrupted({ url: this.url, reason: "the server ended the response early" })
  }
}
