import * as Schema from "effect/Schema"
import { ModelParameters } from "./ModelParameters.ts"

const kibi = 1024

/** The most characters that the definition of a model may have. */
export const maxDefinition = 64 * kibi

const Text = Schema.String.check(
  Schema.isMaxLength(maxDefinition, { expected: `a text of at most ${maxDefinition} characters` })
)

/** What a model adds to the model that it was made from. */
export const ModelDefinition = Schema.Struct({
  system: Schema.optionalKey(Text),
  /** A chat template in Jinja. */
  template: Schema.optionalKey(Text),
  parameters: Schema.optionalKey(ModelParameters),
  messages: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({ role: Schema.Literals(["system", "user", "assistant"]), content: Text })
    ).check(Schema.isMaxLength(256))
  ),
  license: Schema.optionalKey(Text)
})
export type ModelDefinition = typeof ModelDefinition.Type

/** A model made from another one, whose weights it shares. */
export const CreatedModel = Schema.Struct({
  /** The id of the model with the weights. */
  from: Schema.String,
  at: Schema.String,
  ...ModelDefinition.fields
})
export type CreatedModel = typeof CreatedModel.Type

/** Whether a template is one of Go's, as Ollama has them: `{{ .Prompt }}`, `{{ if .System }}`. */
export const isGoTemplate = (template: string) =>
  /\{\{-?\s*(?:\.[A-Z]|\$|(?:if|else|end|range|with|block|define|template)\b)/.test(template)
