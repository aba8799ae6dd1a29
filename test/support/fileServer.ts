import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { Effect } from "effect"

/** Bytes that look random and are the same each time: the byte at a place follows from the place alone. */
export const bytesAt = (start: number, length: number) => {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) {
    const at = start + i
    bytes[i] = (Math.imul(at ^ (at >>> 13), 0x9e3779b1) >>> 19) & 0xff
  }
  return bytes
}

export const contentOf = (size: number) => bytesAt(0, size)
export const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** A request as it came. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly range: string | undefined
  readonly authorization: string | undefined
  readonly ifRange: string | undefined
  /** Bytes of the body that were written to the connection. */
  sent: number
}

export type Misbehave = (
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen,
  count: number
) => boolean | void

export interface FileServer {
  readonly url: string
  readonly port: number
  readonly seen: ReadonlyArray<Seen>
  /** Bytes of bodies that were sent, of ranges longer than one byte. */
  readonly sent: () => number
  /** Breaks all connections and listens no more, for a moment. */
  readonly restart: (pauseMillis: number) => Promise<void>
}

/** The content of the file between two places, the last one not counted. */
export interface Content {
  readonly size: number
  readonly slice: (from: number, to: number) => Buffer
}

export const generated = (size: number): Content => {
  const all = contentOf(size)
  return { size, slice: (from, to) => all.subarray(from, to) }
}

export interface FileServerOptions {
  readonly content: Content
  readonly etag?: string | undefined
  /** Whether ranges are honoured. */
  readonly ranges?: boolean
  readonly contentLength?: boolean
  /** How many bytes may have been sent in all; asked again and again until more may be sent. */
  readonly gate?: () => number
  /** Looks at each request first; true when it has answered it. */
  readonly misbehave?: Misbehave
}

/** Answers a request for (a range of) a file, as RFC 9110 says. */
export const serveFile = (
  request: IncomingMessage,
  response: ServerResponse,
  { content, contentLength = true, etag, gate, ranges = true }: FileServerOptions,
  seen: Seen,
  sentInAll: () => number = () => 0
) => {
  const tag: Record<string, string> = etag === undefined ? {} : { etag }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
  const isSame = seen.ifRange === undefined || seen.ifRange === etag
  const send = (start: number, end: number) => {
    const chunk = 64 * 1024
    let at = start
    const more = () => {
      while (at < end) {
        if (response.destroyed) return
        if (gate !== undefined && sentInAll() >= gate()) {
          setTimeout(more, 10)
          return
        }
        const next = Math.min(end, at + chunk)
        const bytes = content.slice(at, next)
        seen.sent += bytes.length
        at = next
        if (!response.write(bytes)) {
          response.once("drain", more)
          return
        }
      }
      response.end()
    }
    more()
  }
  if (!ranges || from === undefined || !isSame) {
    response.writeHead(200, { ...tag, ...(contentLength ? { "content-length": content.size } : {}) })
    return send(0, content.size)
  }
  const start = Number(from)
  const end = Math.min(Number(to) + 1, content.size)
  response.writeHead(206, {
    ...tag,
    "content-length": end - start,
    "content-range": `bytes ${start}-${end - 1}/${content.size}`
  })
  send(start, end)
}

/** A real server on loopback; each request is recorded before it is answered. */
export const server = (
  answer: (request: IncomingMessage, response: ServerResponse, seen: Seen, count: number) => void
) =>
  Effect.acquireRelease(
    Effect.callback<FileServer & { readonly close: () => void }>((resume) => {
      const all: Array<Seen> = []
      const http = createServer((request, response) => {
        const entry: Seen = {
          method: request.method ?? "",
          url: request.url ?? "",
          range: request.headers.range,
          authorization: request.headers.authorization,
          ifRange: typeof request.headers["if-range"] === "string" ? request.headers["if-range"] : undefined,
          sent: 0
        }
        all.push(entry)
        response.on("error", () => {})
        answer(request, response, entry, all.length)
      })
      http.listen(0, "127.0.0.1", () => {
        const address = http.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(
          Effect.succeed({
            url: `http://127.0.0.1:${port}`,
            port,
            seen: all,
            sent: () =>
              all.filter(({ range }) => range !== "bytes=0-0").reduce((sum, { sent }) => sum + sent, 0),
            restart: async (pauseMillis) => {
              const closed = new Promise((done) => http.close(done))
              http.closeAllConnections()
              await closed
              await new Promise((done) => setTimeout(done, pauseMillis))
              await new Promise<void>((done) => http.listen(port, "127.0.0.1", done))
            },
            close: () => {
              http.closeAllConnections()
              http.close()
            }
          })
        )
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** A server of one file, for every path. */
export const fileServer = Effect.fnUntraced(function* (options: FileServerOptions) {
  const running: FileServer = yield* server((request, response, seen, count) => {
    if (options.misbehave?.(request, response, seen, count) === true) return
    serveFile(request, response, options, seen, () => running.sent())
  })
  return running
})

/** Sends the start of an answer and breaks the connection. */
export const cutAfter =
  (
    options: Omit<FileServerOptions, "misbehave">,
    bytes: number,
    when: (count: number) => boolean
  ): Misbehave =>
  (request, response, seen, count) => {
    if (request.headers.range === "bytes=0-0" || !when(count)) return false
    const [, from = "0", to = String(options.content.size - 1)] =
      /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
    const start = Number(from)
    const end = Math.min(start + bytes, Number(to) + 1)
    response.writeHead(206, {
      ...(options.etag === undefined ? {} : { etag: options.etag }),
      "content-length": Number(to) - start + 1,
      "content-range": `bytes ${start}-${to}/${options.content.size}`
    })
    seen.sent += end - start
    response.write(options.content.slice(start, end), () => response.destroy())
    return true
  }
