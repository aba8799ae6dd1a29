import type { ServedModel } from "../upstream/Upstream.ts"

/** A model in the format of Anthropic's API. */
export const anthropicModel = ({ facts, name }: ServedModel) => ({
  type: "model",
  id: name,
  display_name: name,
  created_at: facts.downloaded_at ?? "1970-01-01T00:00:00Z"
})

/** `GET /v1/models`, on one page. */
export const anthropicModels = (models: ReadonlyArray<ServedModel>) => ({
  data: models.map(anthropicModel),
  has_more: false,
  first_id: models[0]?.name ?? null,
  last_id: models.at(-1)?.name ?? null
})
