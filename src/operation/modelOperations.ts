import * as Schema from "effect/Schema"
import { ModelDefinition } from "./CreatedModel.ts"
import { HiveId, ModelName, PositiveCount } from "./fields.ts"
import { hiveDownload, hiveModelCommand, hiveQuery } from "./Routing.ts"

/** Downloads a model to a hive; resumes a partial download. */
export class ModelDownload extends Schema.Class<ModelDownload>("ModelDownload")({
  operation: Schema.tag("model_download"),
  hive_id: HiveId,
  model: ModelName
}) {
  static readonly routing = hiveDownload
}

/** Creates a model that shares the weights of another model on the hive; replaces a created model with the same id. */
export class ModelCreate extends Schema.Class<ModelCreate>("ModelCreate")({
  operation: Schema.tag("model_create"),
  hive_id: HiveId,
  id: ModelName,
  from: ModelName,
  ...ModelDefinition.fields
}) {
  static readonly routing = hiveModelCommand
}

/** Lists the models on a hive. */
export class ModelList extends Schema.Class<ModelList>("ModelList")({
  operation: Schema.tag("model_list"),
  hive_id: HiveId
}) {
  static readonly routing = hiveQuery
}

/** Returns one model on a hive with the metadata of its file. */
export class ModelGet extends Schema.Class<ModelGet>("ModelGet")({
  operation: Schema.tag("model_get"),
  hive_id: HiveId,
  id: ModelName,
  /** Context length of the memory estimate, in tokens. */
  ctx_size: Schema.optionalKey(PositiveCount)
}) {
  static readonly routing = hiveQuery
}

/** Deletes a model, or its partial download, from a hive. */
export class ModelDelete extends Schema.Class<ModelDelete>("ModelDelete")({
  operation: Schema.tag("model_delete"),
  hive_id: HiveId,
  id: ModelName
}) {
  static readonly routing = hiveModelCommand
}
