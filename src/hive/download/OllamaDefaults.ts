// @effect-diagnostics nodeBuiltinImport:off -- the digest of a short text
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { maxDefinition, ModelDefinition } from "../../operation/CreatedModel.ts"
import { ignoredParameters, ModelParameters } from "../../operation/ModelParameters.ts"
import { InvalidAnswer, withoutQuery } from "./errors.ts"
import type { Fetcher } from "./Fetcher.ts"
import type { Access } from "./RemoteModel.ts"

/** A layer of a manifest in Ollama's registry. Size in bytes. */
export interface OllamaLayer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** The defaults of a model of Ollama's registry, and messages about those that are not used. */
export interface OllamaDefaults {
  readonly definition: ModelDefinition
  readonly notes: ReadonlyArray<string>
}

const layerType = (name: string) => `application/vnd.ollama.image.${name}`
const readObject = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
)
const readParameters = Schema.decodeUnknownOption(ModelParameters)
const readSystem = Schema.decodeUnknownOption(ModelDefinition.fields.system)

const parametersOf = (text: string) => {
  const object = readObject(text)
  if (Option.isNone(object))
    return { parameters: {}, notes: ["The model's parameters are ignored: invalid JSON"] }
  const isUsable = ([name, value]: readonly [string, unknown]) =>
    Object.hasOwn(ModelParameters.fields, name) && Option.isSome(readParameters({ [name]: value }))
  const named = Object.entries(object.value).filter(([name]) => !ignoredParameters.has(name))
  const usable = named.filter(isUsable)
  const ignored = named.filter((entry) => !usable.includes(entry)).map(([name]) => `'${name.slice(0, 64)}'`)
  const parameters = Option.getOrElse(readParameters(Object.fromEntries(usable)), () => ({}))
  const notes =
    ignored.length === 0 ? [] : [`Unsupported parameters are ignored: ${ignored.slice(0, 16).join(", ")}`]
  return { parameters, notes }
}

/**
 * Reads the `params` and `system` layers of a model. A `template` layer is a Go template, which no engine of rbee renders; the
 * model's own chat template is used. Fails when a layer cannot be fetched or does not have its digest.
 */
export const readDefaults = Effect.fn("OllamaDefaults.readDefaults")(function* (
  fetcher: Fetcher["Service"],
  repository: string,
  access: Access,
  layers: ReadonlyArray<OllamaLayer>
) {
  const notes: Array<string> = []
  const textOf = Effect.fnUntraced(function* (name: string) {
    const layer = layers.find(({ mediaType }) => mediaType === layerType(name))
    if (layer === undefined) return undefined
    if (layer.size > maxDefinition) {
      notes.push(`The model's ${name} layer is ignored: it has more than ${maxDefinition} bytes`)
      return undefined
    }
    const url = `${repository}/blobs/${layer.digest}`
    const text = yield* fetcher.text({ url, access })
    if (`sha256:${createHash("sha256").update(text).digest("hex")}` === layer.digest) return text
    return yield* new InvalidAnswer({
      url: withoutQuery(url),
      detail: "answered with other bytes than announced"
    })
  })

  const params = yield* textOf("params")
  const system = yield* textOf("system")
  if (layers.some(({ mediaType }) => mediaType === layerType("template"))) {
    notes.push("The model's Go template is ignored; the chat template of its file is used")
  }
  const read = params === undefined ? undefined : parametersOf(params)
  const parameters = read?.parameters ?? {}
  notes.push(...(read?.notes ?? []))
  const usableSystem = system === undefined || system === "" ? Option.none() : readSystem(system)
  const definition: ModelDefinition = {
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    ...(Option.isSome(usableSystem) ? { system: usableSystem.value } : {})
  }
  const defaults: OllamaDefaults = { definition, notes }
  return defaults
})
