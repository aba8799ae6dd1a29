import * as Schema from "effect/Schema"
import { ModelParameters } from "./ModelParameters.ts"

const kibi = 1024

/** Maximum length of each text in a model definition, in characters. */
export const maxDefinition = 64 * kibi

const Text = Schema.String.check(
  Schema.isMaxLength(maxDefinition, { expected: `a text of at most ${maxDefinition} characters` })
)

/** The changes that a created model makes to the model it is based on. */
export const ModelDefinition = Schema.Struct({
  system: Schema.optionalKey(Text),
  /** A Jinja chat template. */
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

/** A model that shares the weights of another model. */
export const CreatedModel = Schema.Struct({
  /** The id of the model with the weights. */
  from: Schema.String,
  at: Schema.String,
  ...ModelDefinition.fields
})
export type CreatedModel = typeof CreatedModel.Type

/** Whether a template is a Go template, as Ollama uses: `{{ .Prompt }}`, `{{ if .System }}`. */
export const isGoTemplate = (template: string) =>
  /\{\{-?\s*(?:\.[A-Z]|\$|(?:if|else|end|range|with|block|define|template)\b)/.test(template)
