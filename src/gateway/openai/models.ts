import type { ServedModel } from "../upstream/Upstream.ts"

const createdAt = (downloaded: string | undefined) => {
  const millis = downloaded === undefined ? 0 : Date.parse(downloaded)
  return Number.isFinite(millis) ? Math.floor(millis / 1000) : 0
}

/** A model in the format of OpenAI's API, with metadata of its file. */
export const openAiModel = ({ alias, contextSize, facts, id, name }: ServedModel) => ({
  id: name,
  object: "model",
  created: createdAt(facts.downloaded_at),
  owned_by: "rbee",
  ...(alias === undefined ? {} : { root: id }),
  context_length: contextSize,
  max_context_length: facts.context_length,
  quantisation: facts.quantisation,
  parameters: facts.parameters
})

/** `GET /v1/models`. */
export const openAiModels = (models: ReadonlyArray<ServedModel>) => ({
  object: "list",
  data: models.map(openAiModel)
})
