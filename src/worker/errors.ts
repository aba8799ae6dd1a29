import * as Schema from "effect/Schema"

/** The worker cannot serve its model; the process prints this message and exits. */
export class EngineFailed extends Schema.TaggedError<EngineFailed>()("EngineFailed", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The prompt does not fit the context; with `maxTokens`, prompt plus answer do not fit. */
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
      : `Prompt (${promptTokens} tokens) plus max_tokens (${maxTokens}) exceeds the context length of ${contextSize} tokens; shorten the prompt or lower max_tokens`
  }
}

/** The queue for a slot is full. */
export class Busy extends Schema.TaggedError<Busy>()("Busy", { waiting: Schema.Int }) {
  override get message() {
    return `The worker's queue is full: ${this.waiting} requests; retry later`
  }
}

/** The engine failed while it worked on a request. */
export class GenerationFailed extends Schema.TaggedError<GenerationFailed>()("GenerationFailed", {
  reason: Schema.String
}) {
  override get message() {
    return `The engine failed: ${this.reason}`
  }
}

/** The request has an invalid or unsupported value. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  reason: Schema.String,
  param: Schema.optionalKey(Schema.String),
  code: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The request names a model that this worker does not serve. */
export class ModelNotServed extends Schema.TaggedError<ModelNotServed>()("ModelNotServed", {
  model: Schema.String,
  served: Schema.String
}) {
  override get message() {
    return `Model '${this.model}' is not served by this worker; it serves '${this.served}'`
  }
}

/** The error of an invalid value of a field. */
export const invalidParameter = (param: string, reason: string) =>
  new BadRequest({ reason: `'${param}': ${reason}`, param, code: "invalid_value" })

/** The error of a failed engine call. */
export const generationFailed = (cause: unknown) =>
  new GenerationFailed({ reason: cause instanceof Error ? cause.message : String(cause) })
