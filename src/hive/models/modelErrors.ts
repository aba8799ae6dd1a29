import * as Schema from "effect/Schema"
import { failureStatus } from "../../operation/failureStatus.ts"
import type { InvalidModelId } from "./ModelId.ts"

/** No model on this hive has this id. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()(
  "ModelNotFound",
  { id: Schema.String, folder: Schema.String },
  { httpApiStatus: failureStatus.ModelNotFound }
) {
  override get message() {
    return (
      `Model '${this.id}' is not on this hive; download one with 'rbee model download ID' (hf:org/repo, ollama:name, ` +
      `https://…), or put a GGUF file into ${this.folder}, name one as file:/path/to/model.gguf, or use rbee:tiny`
    )
  }
}

/** The files of the model do not belong to rbee. */
export class ModelNotRemovable extends Schema.TaggedError<ModelNotRemovable>()("ModelNotRemovable", {
  id: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Model '${this.id}' cannot be removed: ${this.reason}`
  }
}

/** A model cannot be found by the given id. */
export type LookupError = ModelNotFound | InvalidModelId
