import * as Schema from "effect/Schema"

/** The worker cannot serve its model at all; the process ends with this sentence. */
export class EngineFailed extends Schema.TaggedError<EngineFailed>()("EngineFailed", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The prompt does not fit the context; with `maxTokens`, not together with the tokens that the answer was to have. */
export class ContextLengthExceeded extends Schema.TaggedError<ContextLengthExceeded>()(
  "ContextLengthExceeded",
  {
    promptTokens: Schema.Int,
    maxTokens: Schema.optionalKey(Schema.Int),
    contextSize: Schema.Int
  }
) {
  override get message() {
    const { contextSize, maxTokens, promptTokens } = this
    return maxTokens === undefined
      ? `The prompt has ${promptTokens} tokens, and the context is ${contextSize} tokens; shorten the prompt`
      : `The prompt has ${promptTokens} tokens and max_tokens is ${maxTokens}: together they go beyond the context of ${contextSize} tokens; shorten the prompt or lower max_tokens`
  }
}

/** As many requests wait for a slot as may wait. */
export class Busy extends Schema.TaggedError<Busy>()("Busy", { waiting: Schema.Int }) {
  override get message() {
    return `${this.waiting} requests are waiting for this worker already; try again in a moment`
  }
}

/** The engine failed in the middle of its work. */
export class GenerationFailed extends Schema.TaggedError<GenerationFailed>()("GenerationFailed", {
  reason: Schema.String
}) {
  override get message() {
    return `The engine failed: ${this.reason}`
  }
}

/** The request asks for something in a way that this worker cannot take. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  reason: Schema.String,
  param: Schema.optionalKey(Schema.String),
  code: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The request names another model than the one that this worker serves. */
export class ModelNotServed extends Schema.TaggedError<ModelNotServed>()("ModelNotServed", {
  model: Schema.String,
  served: Schema.String
}) {
  override get message() {
    return `The model '${this.model}' is not served here; this worker serves '${this.served}'`
  }
}
