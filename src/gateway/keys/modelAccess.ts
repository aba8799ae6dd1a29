import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ApiKey } from "../../access/ApiKey.ts"
import { normalName } from "../../operation/modelNames.ts"
import { ModelUnknown, type ServedModel } from "../upstream/Upstream.ts"

/** An API key is not allowed to use the requested model. */
export class ModelForbidden extends Schema.TaggedError<ModelForbidden>()(
  "ModelForbidden",
  { key: Schema.String, model: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    return `API key '${this.key}' is not allowed to use model '${this.model}' (see 'rbee key list')`
  }
}

/** Whether a key may use a model, which its list contains by public name or by id. */
export const mayUse = (
  key: ApiKey | undefined,
  { id, name }: { readonly id: string; readonly name: string }
) => {
  if (key?.models === undefined || key.models.includes(name) || key.models.includes(id)) return true
  const names = new Set([normalName(name), normalName(id)])
  return key.models.some((model) => names.has(normalName(model)))
}

/** The error without the names of models that the key may not use. */
const withoutHiddenModels = (key: ApiKey | undefined, { known, model }: ModelUnknown) =>
  new ModelUnknown({ model, known: known.filter((name) => mayUse(key, { id: name, name })) })

/** The model that is found by the name `requested`, if the key may use it. The errors name no other model that it may not use. */
export const permittedModel = <E>(
  key: ApiKey | undefined,
  requested: string,
  find: Effect.Effect<ServedModel, E>
): Effect.Effect<ServedModel, E | ModelForbidden | ModelUnknown> =>
  find.pipe(
    Effect.mapError((error) => (error instanceof ModelUnknown ? withoutHiddenModels(key, error) : error)),
    Effect.filterOrFail(
      (model) => mayUse(key, model),
      () => new ModelForbidden({ key: key?.name ?? "", model: requested })
    )
  )
