import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isGoTemplate, ModelDefinition } from "../../operation/CreatedModel.ts"
import { ignoredParameters, ModelParameters } from "../../operation/ModelParameters.ts"
import { type Body, InvalidRequest, type Reading } from "../endpoint/Endpoint.ts"
import { definedFields, optional, reader, unsupportedField } from "../endpoint/reading.ts"
import { isPresent } from "./request.ts"

const Texts = Schema.Union([Schema.String, Schema.Array(Schema.String)])

/** The body of `/api/create`. */
export const CreateBody = Schema.Struct({
  model: optional(Schema.String),
  name: optional(Schema.String),
  from: optional(Schema.String),
  stream: optional(Schema.Boolean),
  system: optional(Schema.String),
  template: optional(Schema.String),
  parameters: optional(Schema.Record(Schema.String, Schema.Unknown)),
  messages: optional(
    Schema.Array(
      Schema.Struct({
        role: Schema.Literals(["system", "user", "assistant"]),
        content: Schema.String
      })
    )
  ),
  license: optional(Texts),
  modelfile: optional(Schema.String),
  files: optional(Schema.Unknown),
  adapters: optional(Schema.Unknown),
  quantize: optional(Schema.String),
  quantization: optional(Schema.String)
})
const readBody = reader(CreateBody)

const readParameters = reader(ModelParameters)
const readDefinition = reader(ModelDefinition)

const unsupportedFields = {
  modelfile: "a Modelfile is read by the client; send 'from', 'parameters', 'system' and 'template'",
  files: "files cannot be uploaded; pull the model, or put its GGUF file into the models folder of a hive",
  adapters: "adapters are not supported",
  quantize: "models are not quantized here; pull the quantization you want",
  quantization: "models are not quantized here; pull the quantization you want"
} as const

const invalid = (param: string, reason: string) =>
  Result.fail(new InvalidRequest({ reason: `'${param}': ${reason}`, param }))

const isEmpty = (value: unknown) =>
  !isPresent(value) || (typeof value === "object" && value !== null && Object.keys(value).length === 0)

function* readParametersOf(parameters: Body | null | undefined): Reading<ModelParameters> {
  const named = Object.entries(parameters ?? {}).filter(([name]) => !ignoredParameters.has(name))
  const unknown = named.find(([name]) => !(name in ModelParameters.fields))
  if (unknown !== undefined) return yield* invalid(`parameters.${unknown[0]}`, "unknown parameter")
  return yield* Result.mapError(
    readParameters(Object.fromEntries(named)),
    ({ param = "", reason }) =>
      new InvalidRequest({ reason: `parameters: ${reason}`, param: `parameters.${param}` })
  )
}

/** The request to create a model from another one. */
export interface CreateRequest {
  readonly name: string
  readonly from: string
  readonly stream: boolean
  readonly definition: ModelDefinition
}

function* readCreateRequest(body: Body): Reading<CreateRequest> {
  const request = yield* readBody(body)
  const name = request.model || request.name
  if (!name) return yield* invalid("model", "must be the name of the new model")
  for (const field of ["modelfile", "files", "adapters", "quantize", "quantization"] as const) {
    if (!isEmpty(request[field])) return yield* unsupportedField(field, unsupportedFields[field])
  }
  const { from, license, messages, stream, system, template } = request
  if (!from) return yield* invalid("from", "must be the name of the model to make it from")
  if (template && isGoTemplate(template)) {
    return yield* unsupportedField(
      "template",
      "it is a Go template; chat templates here are Jinja, such as {% for message in messages %}{{ message.content }}{% endfor %}"
    )
  }
  const parameters = yield* readParametersOf(request.parameters)
  const definition = yield* readDefinition(
    definedFields({
      system: system || undefined,
      template: template || undefined,
      parameters: isEmpty(parameters) ? undefined : parameters,
      messages: isEmpty(messages) ? undefined : messages,
      license: isEmpty(license) ? undefined : typeof license === "string" ? license : license?.join("\n")
    })
  )
  return { name, from, stream: stream !== false, definition }
}

/** Reads the body of `POST /api/create`. */
export const readCreate = (body: Body) => Result.gen(() => readCreateRequest(body))

/** The body of `/api/copy`. */
export const CopyBody = Schema.Struct({ source: Schema.NonEmptyString, destination: Schema.NonEmptyString })

/** Reads the body of `POST /api/copy`. */
export const readCopy = reader(CopyBody)
