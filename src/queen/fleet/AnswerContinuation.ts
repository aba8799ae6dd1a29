import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { GatewayRequest } from "../../gateway/upstream/Upstream.ts"
import { JobEvent, type LoggedEvent } from "../../job/log/JobEvent.ts"

const meansNothing = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0)

/** What an answer may not depend on, if another worker is to go on with it. */
const binding = ["tools", "functions", "logprobs", "echo", "best_of", "suffix"]

const isOne = ({ body: { n } }: GatewayRequest) => n === undefined || n === null || n === 1

const isFree = (request: GatewayRequest) => {
  const { api, body } = request
  const { messages, prompt, response_format } = body
  const isText =
    meansNothing(response_format) ||
    (Predicate.isReadonlyObject(response_format) && response_format["type"] === "text")
  const hasPrompt = api === "chat/completions" ? Array.isArray(messages) : typeof prompt === "string"
  return (
    api !== "embeddings" &&
    hasPrompt &&
    isText &&
    isOne(request) &&
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

const parse = (data: string) => {
  const event = Result.try((): unknown => JSON.parse(data))
  return Result.isSuccess(event) && Predicate.isReadonlyObject(event.success) ? event.success : undefined
}

const isSilent = (choice: unknown) => {
  if (!Predicate.isReadonlyObject(choice)) return false
  const { delta = {}, finish_reason, text } = choice
  return (
    Predicate.isReadonlyObject(delta) &&
    meansNothing(finish_reason) &&
    meansNothing(text) &&
    Object.entries(delta).every(([field, value]) => field === "role" || meansNothing(value))
  )
}

/** Whether the data only opens an answer, by its role, and says nothing of it. */
const isOpening = (data: string) => {
  const { choices, usage } = parse(data) ?? {}
  return Array.isArray(choices) && meansNothing(usage) && choices.every(isSilent)
}

const read = (data: string): Read => {
  const choices = parse(data)?.["choices"]
  if (!Array.isArray(choices)) return nothing
  const [choice]: ReadonlyArray<unknown> = choices
  if (!Predicate.isReadonlyObject(choice)) return nothing
  const delta = Predicate.isReadonlyObject(choice["delta"]) ? choice["delta"] : {}
  const text = delta["content"] ?? choice["text"]
  return {
    text: typeof text === "string" ? text : "",
    finished: typeof choice["finish_reason"] === "string",
    more: Object.entries(delta).some(
      ([field, value]) => field !== "role" && field !== "content" && !meansNothing(value)
    )
  }
}

/** The messages with what the assistant has said: in the last one, if the answer goes on in it, else in one more. */
const withText = (messages: ReadonlyArray<unknown>, text: string, goesOn: boolean) => {
  const last = messages.at(-1)
  return goesOn && Predicate.isReadonlyObject(last) && typeof last["content"] === "string"
    ? [...messages.slice(0, -1), { ...last, content: last["content"] + text }]
    : [...messages, { role: "assistant", content: text }]
}

/** What a client got of an answer so far, when its worker was lost. */
export interface DeliveredAnswer {
  /** Characters of it. */
  readonly length: number
  /** Pieces of it, of about a token each. */
  readonly pieces: number
  /** All that the client needs has come. */
  readonly isWhole: boolean
  /** Whether another worker can go on with it. */
  readonly isPossible: boolean
  /** The request for the rest. */
  readonly body: GatewayRequest["body"]
}

/** The request for what is missing behind a text. */
const bodyAfter = ({ api, body }: GatewayRequest, text: string, pieces: number): GatewayRequest["body"] => {
  if (text === "") return body
  const limits = Object.fromEntries(
    ["max_tokens", "max_completion_tokens"].flatMap((field) => {
      const most = body[field]
      return typeof most === "number" ? [[field, Math.max(1, most - pieces)]] : []
    })
  )
  const { continue_final_message, messages, prompt } = body
  return api === "chat/completions"
    ? {
        ...body,
        ...limits,
        messages: withText(Array.isArray(messages) ? messages : [], text, continue_final_message === true),
        // The words of vLLM; llama-server goes on from a last message of the assistant by itself.
        add_generation_prompt: false,
        continue_final_message: true
      }
    : { ...body, ...limits, prompt: `${String(prompt)}${text}` }
}

/**
 * What came of an answer, and how another worker can go on from there. Once a worker has begun, nothing is parsed unless
 * it is lost: what was said stands in the job's log.
 */
export class AnswerContinuation {
  readonly #request: GatewayRequest
  #hasBegun = false
  #hasOpened = false
  /** The worker of now has said nothing yet. */
  #opens = true
  #opensAgain = false
  /** Pieces of the workers before. */
  #earlier = 0

  constructor(request: GatewayRequest) {
    this.#request = request
  }

  /** Another worker follows, after this. */
  next({ pieces }: DeliveredAnswer) {
    this.#opensAgain = this.#hasOpened
    this.#opens = true
    this.#earlier = pieces
  }

  /** Takes note of an event; gives whether the client should see it, which has seen how an answer opens once. */
  observe({ json, kind }: JobEvent) {
    if (this.#opens && (kind === "chunk" || kind === "result")) {
      this.#hasOpened = true
      this.#opens = kind === "chunk" && isOpening(json)
      if (this.#opens) return !this.#opensAgain
      this.#hasBegun = true
    }
    return true
  }

  /** The event as the client should see it: to a worker that goes on with an answer, what came before is prompt. */
  withCorrectedUsage(event: JobEvent) {
    if (this.#earlier === 0 || event.kind !== "chunk" || !event.json.includes('"usage":{')) return event
    const chunk = parse(event.json)
    const usage = chunk?.["usage"]
    if (!Predicate.isReadonlyObject(usage)) return event
    const { completion_tokens, prompt_tokens, prompt_tokens_details: details } = usage
    if (typeof completion_tokens !== "number" || typeof prompt_tokens !== "number") return event
    const moved = Math.min(prompt_tokens, this.#earlier)
    const prompt = prompt_tokens - moved
    const withCorrectedUsage = {
      ...usage,
      prompt_tokens: prompt,
      completion_tokens: completion_tokens + moved,
      // The worker also counts cached tokens of the answer's beginning.
      ...(Predicate.isReadonlyObject(details) && typeof details["cached_tokens"] === "number"
        ? { prompt_tokens_details: { ...details, cached_tokens: Math.min(details["cached_tokens"], prompt) } }
        : {})
    }
    return new JobEvent(event.kind, JSON.stringify({ ...chunk, usage: withCorrectedUsage }), event.id)
  }

  /** Whether the client may have seen a part of the answer. */
  get hasBegun() {
    return this.#hasBegun
  }

  /** What the client got, by the job's log. */
  said(events: ReadonlyArray<LoggedEvent>): DeliveredAnswer {
    let text = ""
    let pieces = 0
    let hasFinished = false
    let isPossible = isFree(this.#request)
    for (const { json, kind } of events) {
      if (kind !== "chunk") continue
      const piece = read(json)
      text += piece.text
      if (piece.text !== "") pieces++
      hasFinished ||= piece.finished
      if (piece.more) isPossible = false
    }
    const body = bodyAfter(this.#request, text, pieces)
    // Where several answers are one, that one of them has finished says nothing.
    return { length: text.length, pieces, isWhole: hasFinished && isOne(this.#request), isPossible, body }
  }
}
