import * as Effect from "effect/Effect"
import { JobEvent } from "../../job/log/JobEvent.ts"
import { type EngineUsage, readChunk, shownText } from "../../job/view/EngineChunk.ts"
import { ConnectionLost } from "../workers/errors.ts"

/** Collects the answer to `infer` from the data of a worker's stream. */
export class InferAnswer {
  #text = ""
  #finishReason: string | undefined
  #usage: EngineUsage | undefined

  /** Adds a piece of data; returns the token in it, if any. */
  add(data: string) {
    const chunk = readChunk(data)
    if (chunk === undefined) return []
    const text = shownText(chunk)
    this.#text += text
    this.#finishReason = chunk.choices[0]?.finishReason ?? this.#finishReason
    this.#usage = chunk.usage ?? this.#usage
    return text === "" ? [] : [JobEvent.token(text)]
  }

  /** The job's result. Fails for an answer without a finish reason, which was cut off. */
  get result() {
    return Effect.suspend(() =>
      this.#finishReason === undefined
        ? Effect.fail(new ConnectionLost({ reason: "the answer has no finish reason" }))
        : Effect.succeed(
            JobEvent.result({
              text: this.#text,
              finish_reason: this.#finishReason,
              usage: this.#usage ?? null
            })
          )
    )
  }
}
