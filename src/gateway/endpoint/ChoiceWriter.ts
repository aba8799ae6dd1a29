import { type ChoicePiece, type EngineUsage, readChunk } from "../../job/view/EngineChunk.ts"
import type { AnswerWriter } from "./AnswerWriter.ts"
import type { ResponseContext } from "./Endpoint.ts"
import type { GatewayError } from "./GatewayError.ts"

/**
 * Base class of writers that translate the first choice of an engine's chunks into another format. It parses the chunks,
 * writes the start once, and keeps the finish reason and the usage for the end.
 */
export abstract class ChoiceWriter implements AnswerWriter {
  protected readonly context: ResponseContext
  protected finishReason = "stop"
  protected usage: EngineUsage | undefined
  #isStarted = false

  constructor(context: ResponseContext) {
    this.context = context
  }

  chunk(data: string) {
    const chunk = readChunk(data)
    if (chunk === undefined) return ""
    this.usage = chunk.usage ?? this.usage
    let text = this.startOnce()
    for (const choice of chunk.choices) {
      if (choice.index !== 0) continue
      text += this.piece(choice)
      this.finishReason = choice.finishReason ?? this.finishReason
    }
    return text
  }

  end() {
    return this.startOnce() + this.finish()
  }

  abstract failed(failure: GatewayError): string

  /** The text of `start`, unless it has been written. */
  protected startOnce() {
    if (this.#isStarted) return ""
    this.#isStarted = true
    return this.start()
  }

  /** The text before everything else. */
  protected abstract start(): string

  /** The text for a piece of the answer. */
  protected abstract piece(choice: ChoicePiece): string

  /** The text after the last piece of a complete answer. */
  protected abstract finish(): string
}
