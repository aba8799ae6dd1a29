import { Result } from "effect"
import { Ollama } from "ollama"
import type { ResponseContext, Body, Endpoint, EndpointRequest } from "../../src/gateway/endpoint/Endpoint.ts"
import { assemble } from "../../src/gateway/endpoint/EngineAnswer.ts"
import type { Placement } from "../../src/gateway/upstream/Upstream.ts"

/** The exchange that a endpoint makes of a body that it accepts. */
export const exchangeOf = (endpoint: Endpoint, body: Body): EndpointRequest =>
  Result.getOrThrow(endpoint.read(body))

/** The field that a endpoint refuses, and why. */
export const refusalOf = (endpoint: Endpoint, body: Body) => {
  const { param, reason } = Result.getOrThrow(Result.flip(endpoint.read(body)))
  return { param, reason }
}

/** When requests are asked, in milliseconds since 1970: 2026-03-04T05:06:07.000Z. */
export const askedAt = Date.UTC(2026, 2, 4, 5, 6, 7)

/** What an answer says of itself, `elapsed` milliseconds after it was asked for. */
export const aboutAfter = (elapsed: () => number, placed?: Partial<Placement>): ResponseContext => ({
  jobId: "job-1",
  model: "tiny",
  askedAt,
  now: () => askedAt + elapsed(),
  placement: () =>
    placed === undefined ? undefined : { hive: "atlas", worker: "tiny-1", queueMs: 0, loadMs: 0, ...placed }
})

/** A piece of a chat as an engine writes it. */
export const piece = (delta: object, finish_reason: string | null = null) =>
  JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })

/** What an engine counted. */
export const counted = (more: object = {}) =>
  JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 2, ...more } })

/** What a client gets whose engine writes these chunks, one every 100 ms from 100 ms on. */
export const written = (
  { reply }: EndpointRequest,
  chunks: ReadonlyArray<string>,
  placed?: Partial<Placement>
): string => {
  let elapsed = 0
  const about = aboutAfter(() => elapsed, placed)
  switch (reply._tag) {
    case "Stream": {
      const writer = reply.writer(about)
      let text = ""
      for (const chunk of chunks) {
        elapsed += 100
        text += writer.chunk(chunk)
      }
      return text + writer.end()
    }
    case "Complete":
      elapsed = 100 * chunks.length
      return JSON.stringify(reply.toJson(assemble(chunks), about))
    case "Document":
      elapsed = 100
      return reply.toText(chunks.join(""), about) ?? ""
  }
}

/** The objects of an answer that has one in each line. */
export const linesOf = (text: string): ReadonlyArray<unknown> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line))

const readBody = (body: unknown): Body => (typeof body === "string" ? JSON.parse(body) : {})

/** The official client, at a server that gives this text for the path and the body of a request. */
export const clientOf = (answer: (path: string, body: Body) => string | Response) =>
  new Ollama({
    host: "http://x",
    fetch: async (input, init) => {
      const { pathname } = new URL(String(input))
      const given = answer(pathname, readBody(init?.body))
      return typeof given === "string" ? new Response(given) : given
    }
  })
