import * as Schema from "effect/Schema"
import type { CreatedModel } from "../../operation/CreatedModel.ts"
import type { Gguf } from "../gguf/Gguf.ts"
import { type ModelTraits, templateTraits } from "../gguf/GgufTraits.ts"
import { templateOf } from "./CreatedModels.ts"
import type { ModelFile } from "./ModelFolder.ts"

/** A model on this hive, as `model_list` and `model_get` return it. Sizes in bytes. */
export class ModelRecord extends Schema.Class<ModelRecord>("ModelRecord")({
  id: Schema.String,
  path: Schema.optionalKey(Schema.String),
  size_bytes: Schema.Finite,
  architecture: Schema.String,
  parameters: Schema.Finite,
  context_length: Schema.Int,
  quantisation: Schema.String,
  chat_template: Schema.Boolean,
  /** What a worker needs at the model's context length, but at most at 8,192 tokens. */
  memory_bytes: Schema.Finite,
  /** The source of the download, its time, and the checksum of the first file. */
  from: Schema.optionalKey(Schema.String),
  downloaded_at: Schema.optionalKey(Schema.String),
  sha256: Schema.optionalKey(Schema.String),
  /** The model from which it was created, and whose file it shares. */
  created_from: Schema.optionalKey(Schema.String)
}) {}

/** A model's record with its header. */
export interface ModelDetails {
  readonly record: ModelRecord
  readonly gguf: Gguf
  /** The traits of the file, or of the chat template that replaces the file's. */
  readonly traits: ModelTraits
  /** Its other ids. */
  readonly also: ReadonlyArray<string>
  /** How it was created from another model. A model with defaults of its source is its own base. */
  readonly created?: CreatedModel | undefined
  /** What a worker loads: a created model has workers of its own only if it has a chat template. */
  readonly serves: { readonly id: string; readonly chatTemplate?: string }
}

const listedContext = 8192

/** The ids of a model, the preferred one first. */
export const namesOf = ({ id, origin }: ModelFile) => [
  id,
  ...(origin?.manifest.ids ?? []).filter((other) => other !== id)
]

/** The id under which workers serve the model. */
export const servedId = ({ created, id }: ModelFile) =>
  created === undefined || created.definition.template !== undefined ? id : created.source.id

const record = ({ created, id, origin = created?.source.origin, path }: ModelFile, gguf: Gguf) => {
  const sha256 = origin?.manifest.files[0]?.sha256
  return new ModelRecord({
    id,
    path,
    size_bytes: gguf.sizeBytes,
    architecture: gguf.architecture,
    parameters: gguf.parameters,
    context_length: gguf.contextLength,
    quantisation: gguf.quantisation,
    chat_template: gguf.chatTemplate,
    memory_bytes: gguf.memoryBytes(Math.min(gguf.contextLength, listedContext)),
    ...(origin === undefined ? {} : { from: origin.manifest.from, downloaded_at: origin.manifest.at }),
    ...(typeof sha256 === "string" ? { sha256 } : {}),
    ...(created === undefined
      ? {}
      : {
          created_from: created.source.id,
          downloaded_at: created.definition.at,
          chat_template: gguf.chatTemplate || created.definition.template !== undefined
        })
  })
}

/** The definition that a model adds to its file. */
const definitionOf = ({ created, id, origin }: ModelFile): CreatedModel | undefined => {
  if (created !== undefined) return { ...created.definition, from: created.source.id }
  const defaults = origin?.manifest.defaults
  return origin === undefined || defaults === undefined
    ? undefined
    : { from: id, at: origin.manifest.at, ...defaults }
}

/** The details of a model, from its file and the header of that file. */
export const modelDetails = (file: ModelFile, gguf: Gguf): ModelDetails => {
  const { created } = file
  const own = created?.definition.template
  const definition = definitionOf(file)
  const template =
    created === undefined || own === undefined ? {} : { chatTemplate: templateOf(created.file) }
  return {
    record: record(file, gguf),
    gguf,
    traits: own === undefined ? gguf.traits : { ...gguf.traits, ...templateTraits(own) },
    also: namesOf(file).slice(1),
    ...(definition === undefined ? {} : { created: definition }),
    serves: { id: servedId(file), ...template }
  }
}
