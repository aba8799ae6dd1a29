import * as Predicate from "effect/Predicate"
import type { GatewayRequest } from "../../gateway/upstream/Upstream.ts"
import { JobEvent, type LoggedEvent } from "../../job/log/JobEvent.ts"
import { isOpening, parseChunk, readChunk } from "./answerChunk.ts"
import { allowsContinuation, continuationBody, hasOneAnswer } from "./continuationRequest.ts"

/** The part of an answer that was delivered before its worker failed. */
export interface DeliveredAnswer {
  /** The length of its text in characters. */
  readonly length: number
  /** The number of its pieces, of about one token each. */
  readonly pieces: number
  /** Whether nothing of the answer is missing that the client needs. */
  readonly isComplete: boolean
  /** Whether another worker can continue it. */
  readonly canContinue: boolean
  /** The body of the request for the rest. */
  readonly body: GatewayRequest["body"]
}

/**
 * Follows an answer that one worker begins and another may continue. After its first chunk with content, chunks are not
 * parsed; if a worker fails, the delivered text is read from the job's log.
 */
export class AnswerContinuation {
  readonly #request: GatewayRequest
  #hasBegun = false
  #hasOpened = false
  /** The current worker has sent no content yet. */
  #isOpening = true
  /** An earlier worker opened the answer, so the client must not receive another opening. */
  #skipsOpening = false
  /** The number of pieces from earlier workers. */
  #earlierPieces = 0

  constructor(request: GatewayRequest) {
    this.#request = request
  }

  /** Prepares for the chunks of another worker, after the delivered part. */
  next({ pieces }: Pick<DeliveredAnswer, "pieces">) {
    this.#skipsOpening = this.#hasOpened
    this.#isOpening = true
    this.#earlierPieces = pieces
  }

  /** Records an event of the worker; gives whether the client should receive it, as it should receive one opening only. */
  observe({ json, kind }: JobEvent) {
    if (this.#isOpening && (kind === "chunk" || kind === "result")) {
      this.#hasOpened = true
      this.#isOpening = kind === "chunk" && isOpening(json)
      if (this.#isOpening) return !this.#skipsOpening
      this.#hasBegun = true
    }
    return true
  }

  /** The event with the usage of the complete answer: a continuing worker counts the delivered part as prompt. */
  withCorrectedUsage(event: JobEvent) {
    if (this.#earlierPieces === 0 || event.kind !== "chunk" || !event.json.includes('"usage":{')) return event
    const chunk = parseChunk(event.json)
    const usage = chunk?.["usage"]
    if (!Predicate.isReadonlyObject(usage)) return event
    const { completion_tokens, prompt_tokens, prompt_tokens_details: details } = usage
    if (typeof completion_tokens !== "number" || typeof prompt_tokens !== "number") return event
    const delivered = Math.min(prompt_tokens, this.#earlierPieces)
    const prompt = prompt_tokens - delivered
    const corrected = {
      ...usage,
      prompt_tokens: prompt,
      completion_tokens: completion_tokens + delivered,
      // The cached tokens, too, may include the delivered part.
      ...(Predicate.isReadonlyObject(details) && typeof details["cached_tokens"] === "number"
        ? { prompt_tokens_details: { ...details, cached_tokens: Math.min(details["cached_tokens"], prompt) } }
        : {})
    }
    return new JobEvent(event.kind, JSON.stringify({ ...chunk, usage: corrected }), event.id)
  }

  /** Whether a part of the answer's content has been delivered. */
  get hasBegun() {
    return this.#hasBegun
  }

  /** The delivered part of the answer, by the events of the job's log. */
  delivered(events: ReadonlyArray<LoggedEvent>): DeliveredAnswer {
    let text = ""
    let pieces = 0
    let hasFinished = false
    let canContinue = allowsContinuation(this.#request)
    for (const { json, kind } of events) {
      if (kind !== "chunk") continue
      const chunk = readChunk(json)
      text += chunk.text
      if (chunk.text !== "") pieces++
      hasFinished ||= chunk.isFinished
      if (chunk.hasOther) canContinue = false
    }
    return {
      length: text.length,
      pieces,
      // Of several alternatives, others may be unfinished when one has finished.
      isComplete: hasFinished && hasOneAnswer(this.#request),
      canContinue,
      body: continuationBody(this.#request, text, pieces)
    }
  }
}
