import * as http from "node:http"
import { Effect } from "effect"
import { ask, connect, type RawConnection } from "./daemon.ts"
import { until } from "./until.ts"

/** A request of an application whose answer is read as a stream; it leaves with the scope. */
export const openStream = (
  url: string,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>> = {}
) => {
  const text = JSON.stringify({ ...body, stream: true })
  const lines = Object.entries({
    host: "localhost",
    connection: "close",
    "content-length": String(Buffer.byteLength(text)),
    ...headers
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return connect(url, `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${Buffer.from(text).toString("latin1")}`)
}

/** The status and the headers of an answer, as far as they came. */
export const headOf = ({ received }: RawConnection) => {
  const [first = "", ...lines] = received.slice(0, received.indexOf("\r\n\r\n")).split("\r\n")
  const headers: http.IncomingHttpHeaders = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)])
  )
  return { status: Number(first.split(" ")[1]), headers }
}

/** The data of the events that came. */
export const dataOf = ({ body }: RawConnection) =>
  body
    .split("\n\n")
    .filter((frame) => frame.startsWith("data: "))
    .map((frame) => frame.slice("data: ".length))

/** What the events said of the first choice. */
export const textIn = (data: ReadonlyArray<string>) =>
  data
    .filter((item) => item.startsWith("{"))
    .map((item) => {
      const [choice] = JSON.parse(item).choices ?? []
      return choice?.delta?.content ?? choice?.text ?? ""
    })
    .join("")

/** A request of an application, and its whole answer. */
export const post = (
  url: string,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>> = {}
) => ask(url, { method: "POST", path, body: JSON.stringify(body), headers })

/** What a daemon wrote into the log of a job, when it has ended, or so far when `holds` is true of it. */
export const logOf = (url: string, jobId: string, holds: (log: string) => boolean = () => false) =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* connect(
        url,
        `GET /v1/jobs/${jobId}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`
      )
      yield* connection.until(({ body, closed }) => closed || holds(body))
      return connection.body
    })
  )

/** The id of the newest job of a daemon that is a request of an application; waits until there are so many. */
export const newestRequest = (url: string, count: number) =>
  until(
    Effect.map(ask(url, { path: "/v1/jobs" }), ({ text }): ReadonlyArray<{ readonly job_id: string }> =>
      JSON.parse(text).jobs.filter(
        ({ operation }: { readonly operation: string }) => operation === "complete"
      )
    ),
    (jobs) => jobs.length >= count
  ).pipe(
    Effect.map(([newest]) => String(newest?.job_id)),
    Effect.orDie
  )

/** How an answer came. Times in milliseconds. */
export interface Came {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly data: ReadonlyArray<string>
  /** From the request to the first piece of text; nothing when there was none. */
  readonly firstAfter: number | undefined
}

const saysSomething = (data: string) => /"(content|text)":"[^"]/.test(data)

/**
 * Reads an answer to its end, or leaves: after so many milliseconds without a word, or after so many pieces. An answer
 * that is no stream is the only piece of its data.
 */
export const read = (
  url: string,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
  leave: { readonly afterMillis?: number; readonly afterPieces?: number } = {}
) =>
  Effect.callback<Came>((resume) => {
    const askedAt = performance.now()
    const { afterMillis, afterPieces = Number.POSITIVE_INFINITY } = leave
    let firstAfter: number | undefined
    let status = 0
    let given: http.IncomingHttpHeaders = {}
    const data: Array<string> = []
    const end = () => {
      clearTimeout(timer)
      resume(Effect.succeed({ status, headers: given, data, firstAfter }))
    }
    const take = (frame: string) => {
      if (frame.startsWith(":") || frame === "") return
      const item = frame.startsWith("data: ") ? frame.slice("data: ".length) : frame
      if (firstAfter === undefined && saysSomething(item)) firstAfter = performance.now() - askedAt
      data.push(item)
    }
    const request = http.request(`${url}${path}`, { method: "POST", headers, agent: false }, (response) => {
      status = response.statusCode ?? 0
      given = response.headers
      let rest = ""
      response.setEncoding("utf8")
      response.on("data", (piece: string) => {
        const frames = (rest + piece).split("\n\n")
        rest = frames.pop() ?? ""
        for (const frame of frames) take(frame)
        if (data.length >= afterPieces) request.destroy()
      })
      response.on("end", () => take(rest))
      response.on("error", () => {})
      response.on("close", end)
    })
    const timer =
      afterMillis === undefined
        ? undefined
        : setTimeout(() => {
            if (data.length === 0) request.destroy()
          }, afterMillis)
    request.on("error", end)
    request.end(JSON.stringify(body))
    return Effect.sync(() => request.destroy())
  })
