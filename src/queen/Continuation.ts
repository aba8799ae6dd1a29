import * as Predicate from "effect/Predicate"
import type { GatewayRequest } from "../gateway/Upstream.ts"
import type { JobEvent } from "../job/JobEvent.ts"

const meansNothing = (value: unknown) =>
  value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0)

/** What an answer may not depend on, if another worker is to go on with it. */
const binding = ["tools", "functions", "logprobs", "echo", "best_of", "suffix"]

const isFree = ({ api, body }: GatewayRequest) => {
  const { messages, n = 1, prompt, response_format } = body
  const isText =
    meansNothing(response_format) ||
    (Predicate.isReadonlyObject(response_format) && response_format["type"] === "text")
  const hasPrompt = api === "chat/completions" ? Array.isArray(messages) : typeof prompt === "string"
  return (
    api !== "embeddings" &&
    hasPrompt &&
    isText &&
    (n === 1 || n === null) &&
    binding.every((field) => meansNothing(body[field]))
  )
}

interface Read {
  readonly text: string
  readonly finished: boolean
  /** It says more than plain text. */
  readonly more: boolean
}

const nothing: Read = { text: "", finished: false, more: false }

const read = (data: string): Read => {
  let event: unknown
  try {
    event = JSON.parse(data)
  } catch {
    return nothing
  }
  if (!Predicate.isReadonlyObject(event) || !Array.isArray(event["choices"])) return nothing
  const [choice]: ReadonlyArray<unknown> = event["choices"]
  if (!Predicate.isReadonlyObject(choice)) return nothing
  const delta = Predicate.isReadonlyObject(choice["delta"]) ? choice["delta"] : {}
  const text = delta["content"] ?? choice["text"]
  return {
    text: typeof text === "string" ? text : "",
    finished: typeof choice["finish_reason"] === "string",
    more: !meansNothing(delta["tool_calls"]) || !meansNothing(delta["reasoning_content"])
  }
}

/**
 * What came of an answer, and how another worker can go on from there. Nothing is parsed unless a worker was lost: until
 * then the data of the chunks is only kept, which the job's log does anyway.
 */
export class Continuation {
  readonly #request: GatewayRequest
  readonly #chunks: Array<string> = []
  readonly #mayGoOn: boolean
  #hasBegun = false

  constructor(request: GatewayRequest) {
    this.#request = request
    this.#mayGoOn = isFree(request)
  }

  add({ json, kind }: JobEvent) {
    if (kind !== "chunk" && kind !== "result") return
    this.#hasBegun = true
    if (this.#mayGoOn) this.#chunks.push(json)
  }

  /** Whether the client may have seen a part of the answer. */
  get hasBegun() {
    return this.#hasBegun
  }

  get isWhole() {
    return this.#read().finished
  }

  get isPossible() {
    return this.#mayGoOn && !this.#read().more
  }

  /** Characters that came. */
  get length() {
    return this.#read().text.length
  }

  /** The request for the rest of the answer. */
  get body(): GatewayRequest["body"] {
    const { api, body } = this.#request
    const { pieces, text } = this.#read()
    if (text === "") return body
    // One piece is about one token.
    const limits = Object.fromEntries(
      ["max_tokens", "max_completion_tokens"].flatMap((field) => {
        const most = body[field]
        return typeof most === "number" ? [[field, Math.max(1, most - pieces)]] : []
      })
    )
    const { messages, prompt } = body
    return api === "chat/completions"
      ? {
          ...body,
          ...limits,
          messages: [...(Array.isArray(messages) ? messages : []), { role: "assistant", content: text }],
          // The words of vLLM; llama-server goes on from a last message of the assistant by itself.
          add_generation_prompt: false,
          continue_final_message: true
        }
      : { ...body, ...limits, prompt: `${String(prompt)}${text}` }
  }

  #read() {
    let text = ""
    let pieces = 0
    let finished = false
    let more = false
    for (const chunk of this.#chunks) {
      const piece = read(chunk)
      text += piece.text
      if (piece.text !== "") pieces++
      finished ||= piece.finished
      more ||= piece.more
    }
    return { text, pieces, finished, more }
  }
}
