import type { Format } from "./Endpoint.ts"
import { failureResponse } from "./errorResponses.ts"

/** Features that the vendors offer at these paths, and at all paths below, and that rbee does not serve. */
const notServed: ReadonlyArray<readonly [path: string, what: string]> = [
  ["/v1/assistants", "assistants; send the conversation to /v1/chat/completions or /v1/responses"],
  ["/v1/audio", "speech or transcription"],
  ["/v1/batches", "batches; send the requests one by one, they are queued"],
  ["/v1/chat/completions", "stored chat completions: answers are not stored"],
  ["/v1/complete", "Anthropic's text completions; use /v1/messages"],
  ["/v1/conversations", "stored conversations; send the complete conversation as 'input' to /v1/responses"],
  ["/v1/files", "files; send their text in the request"],
  ["/v1/fine_tuning", "fine-tuning"],
  ["/v1/images", "image generation"],
  ["/v1/messages/batches", "batches; send the requests one by one, they are queued"],
  ["/v1/moderations", "moderation"],
  ["/v1/realtime", 'realtime sessions; use /v1/chat/completions with "stream": true'],
  ["/v1/rerank", "reranking"],
  ["/v1/reranking", "reranking"],
  ["/v1/responses", "stored responses: answers are not stored"],
  ["/v1/score", "scoring"],
  ["/v1/threads", "threads; send the conversation to /v1/chat/completions or /v1/responses"],
  ["/v1/uploads", "files; send their text in the request"],
  ["/v1/vector_stores", "vector stores; /v1/embeddings makes the vectors"],
  ["/v1/videos", "video generation"]
]

const maxPathLength = 200

const sentenceOf = (method: string, path: string) => {
  const [, what] = notServed.find(([known]) => path === known || path.startsWith(`${known}/`)) ?? []
  return what === undefined
    ? `rbee has no endpoint ${method} ${path.slice(0, maxPathLength)}; GET /openapi.json lists all paths`
    : `rbee does not serve ${what}`
}

/**
 * The response if no endpoint matches the request: 404, or 405 with `Allow` if the path is known and its methods are
 * `allowed`. Not 501, because clients retry statuses of 500 and above.
 */
export const missingEndpoint = (
  format: Format,
  method: string,
  path: string,
  allowed: ReadonlyArray<string>
) => {
  // The method is allowed, but the path contains an id that cannot be decoded.
  if (allowed.length === 0 || allowed.includes(method)) {
    return failureResponse(format, { status: 404, code: "UnknownPath", message: sentenceOf(method, path) })
  }
  const allow = allowed.flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name])).join(", ")
  return failureResponse(
    format,
    {
      status: 405,
      code: "MethodNotAllowed",
      message: `${path.slice(0, maxPathLength)} answers ${allow} only`
    },
    { allow }
  )
}
