import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { contextOf, ModelParameters, samplingFields } from "../../operation/ModelParameters.ts"
import type { ResponseContext, Body, Endpoint, EndpointRequest, Reading } from "../endpoint/Endpoint.ts"
import { given, unsupported } from "../endpoint/reading.ts"
import { chatShape, generateShape, loadedReply, nanos, reply, type Shape, unloadedReply } from "./answer.ts"
import { ollamaFormat } from "./format.ts"
import {
  type Common,
  defaults,
  isZero,
  readChat,
  readEmbed,
  readGenerate,
  readOldEmbedding,
  responseFormat,
  says,
  thinking,
  toMessages,
  toTools
} from "./request.ts"

// A worker is loaded by being asked for the least that there is.
const loading = (model: string, shape: Shape): EndpointRequest => ({
  model,
  api: "completions",
  body: { prompt: ".", max_tokens: 1 },
  isLoad: true,
  reply: loadedReply(shape)
})

type KeepAlive = string | number | null | undefined

/** A request without a prompt wants the model to be loaded, or with a `keep_alive` of 0 to be unloaded. */
const withoutPrompt = (model: string, shape: Shape, keepAlive: KeepAlive): EndpointRequest =>
  isZero(keepAlive)
    ? { ...loading(model, shape), reply: unloadedReply(shape), unload: "instead" }
    : loading(model, shape)

/** What the fields that chats and generations share say of the request. */
const asked = ({ format, keep_alive, options, think }: Common, more: Body) => ({
  body: { ...samplingFields(options), ...responseFormat(format), ...thinking(think), ...more },
  defaults,
  contextSize: contextOf(options),
  ...(isZero(keep_alive) ? ({ unload: "after" } as const) : {})
})

const fieldNames = {
  ...Object.fromEntries(Struct.keys(ModelParameters.fields).map((name) => [name, `options.${name}`])),
  max_tokens: "options.num_predict",
  repetition_penalty: "options.repeat_penalty",
  response_format: "format"
}

const noImages = "no engine here takes images; leave them out"

function* readChatRequest(body: Body): Reading<EndpointRequest> {
  const request = yield* readChat(body)
  const { keep_alive, messages, model, stream, tools } = request
  if (!says(messages)) return withoutPrompt(model, chatShape, keep_alive)
  const turns = messages ?? []
  const withImage = turns.findIndex(({ images }) => says(images))
  if (withImage !== -1) return yield* unsupported(`messages.${withImage}.images`, noImages)
  return {
    model,
    api: "chat/completions",
    ...asked(request, { ...toTools(tools), messages: toMessages(turns) }),
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
  suffix: "no engine here fills text in between; send the prompt only",
  template: "the template of a request is not used; POST /api/create makes a model with another template",
  context: "the tokens of an earlier answer are not kept; send the conversation to /api/chat",
  images: noImages
} as const

function* readGenerateRequest(body: Body): Reading<EndpointRequest> {
  const request = yield* readGenerate(body)
  const { keep_alive, model, prompt, raw, stream, system } = request
  for (const field of Struct.keys(notInGenerate)) {
    if (says(request[field])) return yield* unsupported(field, notInGenerate[field])
  }
  if (prompt === undefined || prompt === null || prompt === "") {
    return withoutPrompt(model, generateShape, keep_alive)
  }
  const answer = reply(generateShape, stream)
  if (raw === true) return { model, api: "completions", ...asked(request, { prompt }), reply: answer }
  const user = { role: "user", content: prompt }
  const messages = says(system) ? [{ role: "system", content: system }, user] : [user]
  return { model, api: "chat/completions", ...asked(request, { messages }), reply: answer }
}

/** `POST /api/generate`: by the model's chat template, unless `raw` is true. */
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

/** What is written for the engine's embeddings; nothing when its document is none of those. */
const fromEmbeddings =
  (
    toJson: (vectors: ReadonlyArray<ReadonlyArray<number>>, tokens: number, about: ResponseContext) => object
  ) =>
  (document: string, about: ResponseContext) => {
    const read = Option.getOrUndefined(readEmbeddings(document))
    if (read === undefined) return undefined
    const { data, usage } = read
    const vectors = data.map(({ embedding }) => embedding)
    return JSON.stringify(toJson(vectors, usage?.prompt_tokens ?? 0, about))
  }

const embedded = fromEmbeddings((embeddings, tokens, { askedAt, model, now, placement }) => ({
  model,
  embeddings,
  total_duration: nanos(now() - askedAt),
  load_duration: nanos(placement()?.loadMs ?? 0),
  prompt_eval_count: tokens
}))

// What is asked without a text only wants the model to be loaded.
const embedding = (
  model: string,
  input: string | ReadonlyArray<string> | null | undefined,
  options: Body,
  toText: (document: string, about: ResponseContext) => string | undefined,
  loaded: (about: ResponseContext) => object
): EndpointRequest => ({
  model,
  api: "embeddings",
  body: { ...options, input: says(input) ? input : "." },
  reply: {
    _tag: "Document",
    toText: says(input) ? toText : (_document, about) => JSON.stringify(loaded(about))
  }
})

/** `POST /api/embed`. */
export const embedEndpoint: Endpoint = {
  path: "/api/embed",
  format: ollamaFormat,
  read: (body) =>
    Result.map(readEmbed(body), ({ dimensions, input, model, truncate }) => {
      const options = given({ dimensions, truncate: truncate ?? true })
      return embedding(model, input, options, embedded, ({ model }) => ({ model, embeddings: [] }))
    })
}

/** `POST /api/embeddings`, which `/api/embed` came after. */
export const oldEmbeddingsEndpoint: Endpoint = {
  path: "/api/embeddings",
  format: ollamaFormat,
  fieldNames: { input: "prompt" },
  read: (body) =>
    Result.map(readOldEmbedding(body), ({ model, prompt }) =>
      embedding(
        model,
        // The one vector of this answer must not be empty, so that an empty text is embedded, too.
        prompt === "" ? [prompt] : prompt,
        { truncate: true },
        fromEmbeddings(([embedding = []]) => ({ embedding })),
        () => ({ embedding: [] })
      )
    )
}
