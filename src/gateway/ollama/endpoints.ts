import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { contextOf, ModelParameters, samplingFields } from "../../operation/ModelParameters.ts"
import type { ResponseContext, Body, Endpoint, EndpointRequest, Reading } from "../endpoint/Endpoint.ts"
import { definedFields, unsupportedField } from "../endpoint/reading.ts"
import { chatShape, generateShape, loadedReply, nanos, reply, type Shape, unloadedReply } from "./answer.ts"
import { ollamaFormat } from "./format.ts"
import {
  type Common,
  defaults,
  unloadsModel,
  readChat,
  readEmbed,
  readGenerate,
  readOldEmbedding,
  responseFormat,
  isPresent,
  thinking,
  toMessages,
  toTools
} from "./request.ts"

// The smallest possible request, which makes the fleet load a worker.
const loading = (model: string, shape: Shape): EndpointRequest => ({
  model,
  api: "completions",
  body: { prompt: ".", max_tokens: 1 },
  isLoad: true,
  reply: loadedReply(shape)
})

type KeepAlive = string | number | null | undefined

/** A request without a prompt loads the model, or unloads it if `keep_alive` is 0. */
const withoutPrompt = (model: string, shape: Shape, keepAlive: KeepAlive): EndpointRequest =>
  unloadsModel(keepAlive)
    ? { ...loading(model, shape), reply: unloadedReply(shape), unload: "instead" }
    : loading(model, shape)

/** The part of a request that comes from the fields common to `/api/chat` and `/api/generate`. */
const commonFields = ({ format, keep_alive, options, think }: Common, more: Body) => ({
  body: { ...samplingFields(options), ...responseFormat(format), ...thinking(think), ...more },
  defaults,
  contextSize: contextOf(options),
  ...(unloadsModel(keep_alive) ? ({ unload: "after" } as const) : {})
})

const fieldNames = {
  ...Object.fromEntries(Struct.keys(ModelParameters.fields).map((name) => [name, `options.${name}`])),
  max_tokens: "options.num_predict",
  repetition_penalty: "options.repeat_penalty",
  response_format: "format"
}

const noImages = "engines behind this endpoint do not support images; remove them"

function* readChatRequest(body: Body): Reading<EndpointRequest> {
  const request = yield* readChat(body)
  const { keep_alive, messages, model, stream, tools } = request
  if (!isPresent(messages)) return withoutPrompt(model, chatShape, keep_alive)
  const turns = messages ?? []
  const withImage = turns.findIndex(({ images }) => isPresent(images))
  if (withImage !== -1) return yield* unsupportedField(`messages.${withImage}.images`, noImages)
  return {
    model,
    api: "chat/completions",
    ...commonFields(request, { ...toTools(tools), messages: toMessages(turns) }),
    reply: reply(chatShape, stream)
  }
}

/** `POST /api/chat`. */
export const chatEndpoint: Endpoint = {
  path: "/api/chat",
  format: ollamaFormat,
  fieldNames,
  read: (body) => Result.gen(() => readChatRequest(body))
}

const notInGenerate = {
  suffix: "no engine supports text insertion; send the prompt only",
  template: "the template of a request is not used; POST /api/create makes a model with another template",
  context: "the tokens of earlier answers are not stored; send the conversation to /api/chat",
  images: noImages
} as const

function* readGenerateRequest(body: Body): Reading<EndpointRequest> {
  const request = yield* readGenerate(body)
  const { keep_alive, model, prompt, raw, stream, system } = request
  for (const field of Struct.keys(notInGenerate)) {
    if (isPresent(request[field])) return yield* unsupportedField(field, notInGenerate[field])
  }
  if (prompt === undefined || prompt === null || prompt === "") {
    return withoutPrompt(model, generateShape, keep_alive)
  }
  const answer = reply(generateShape, stream)
  if (raw === true) return { model, api: "completions", ...commonFields(request, { prompt }), reply: answer }
  const user = { role: "user", content: prompt }
  const messages = isPresent(system) ? [{ role: "system", content: system }, user] : [user]
  return { model, api: "chat/completions", ...commonFields(request, { messages }), reply: answer }
}

/** `POST /api/generate`: with the model's chat template, unless `raw` is true. */
export const generateEndpoint: Endpoint = {
  path: "/api/generate",
  format: ollamaFormat,
  fieldNames,
  read: (body) => Result.gen(() => readGenerateRequest(body))
}

const Embeddings = Schema.Struct({
  data: Schema.Array(Schema.Struct({ embedding: Schema.Array(Schema.Finite) })),
  usage: Schema.optionalKey(Schema.Struct({ prompt_tokens: Schema.optionalKey(Schema.Finite) }))
})
const readEmbeddings = Schema.decodeUnknownOption(Schema.fromJsonString(Embeddings))

/** Translates the engine's embeddings; returns undefined if its document is not valid embeddings. */
const fromEmbeddings =
  (
    toJson: (
      vectors: ReadonlyArray<ReadonlyArray<number>>,
      tokens: number,
      context: ResponseContext
    ) => object
  ) =>
  (document: string, context: ResponseContext) => {
    const read = Option.getOrUndefined(readEmbeddings(document))
    if (read === undefined) return undefined
    const { data, usage } = read
    const vectors = data.map(({ embedding }) => embedding)
    return JSON.stringify(toJson(vectors, usage?.prompt_tokens ?? 0, context))
  }

const embedded = fromEmbeddings((embeddings, tokens, { askedAt, model, now, placement }) => ({
  model,
  embeddings,
  total_duration: nanos(now() - askedAt),
  load_duration: nanos(placement()?.loadMs ?? 0),
  prompt_eval_count: tokens
}))

// A request without a text only loads the model.
const embedding = (
  model: string,
  input: string | ReadonlyArray<string> | null | undefined,
  options: Body,
  toText: (document: string, context: ResponseContext) => string | undefined,
  loaded: (context: ResponseContext) => object
): EndpointRequest => ({
  model,
  api: "embeddings",
  body: { ...options, input: isPresent(input) ? input : "." },
  reply: {
    _tag: "Document",
    toText: isPresent(input) ? toText : (_document, context) => JSON.stringify(loaded(context))
  }
})

/** `POST /api/embed`. */
export const embedEndpoint: Endpoint = {
  path: "/api/embed",
  format: ollamaFormat,
  read: (body) =>
    Result.map(readEmbed(body), ({ dimensions, input, model, truncate }) => {
      const options = definedFields({ dimensions, truncate: truncate ?? true })
      return embedding(model, input, options, embedded, ({ model }) => ({ model, embeddings: [] }))
    })
}

/** `POST /api/embeddings`, the predecessor of `/api/embed`. */
export const oldEmbeddingsEndpoint: Endpoint = {
  path: "/api/embeddings",
  format: ollamaFormat,
  fieldNames: { input: "prompt" },
  read: (body) =>
    Result.map(readOldEmbedding(body), ({ model, prompt }) =>
      embedding(
        model,
        // The response must contain a vector, so an empty text is embedded too.
        prompt === "" ? [prompt] : prompt,
        { truncate: true },
        fromEmbeddings(([embedding = []]) => ({ embedding })),
        () => ({ embedding: [] })
      )
    )
}
