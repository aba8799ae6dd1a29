import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { About, Body, Door, Exchange, Reading } from "../Door.ts"
import { given, unsupported } from "../reading.ts"
import { chatShape, generateShape, loadedReply, nanos, reply, type Shape } from "./answer.ts"
import { ollamaFormat } from "./format.ts"
import {
  readChat,
  readEmbed,
  readGenerate,
  readOldEmbedding,
  responseFormat,
  sampling,
  says,
  toMessages,
  toTools
} from "./request.ts"

// A worker is loaded by being asked for the least that there is.
const loading = (model: string, shape: Shape): Exchange => ({
  model,
  api: "completions",
  body: { prompt: ".", max_tokens: 1 },
  reply: loadedReply(shape)
})

const noUnloading = (keepAlive: string | number | null | undefined) =>
  /^0+(ns|us|µs|ms|s|m|h)?$/.test(String(keepAlive))
    ? unsupported(
        "keep_alive",
        "a model is not unloaded this way, others may use it; 'rbee worker delete' does"
      )
    : Result.void

function* readChatRequest(body: Body): Reading<Exchange> {
  const { format, keep_alive, messages, model, options, stream, tools } = yield* readChat(body)
  if (!says(messages)) {
    yield* noUnloading(keep_alive)
    return loading(model, chatShape)
  }
  const turns = messages ?? []
  const withImage = turns.findIndex(({ images }) => says(images))
  if (withImage !== -1) {
    return yield* unsupported(`messages.${withImage}.images`, "images are not supported")
  }
  return {
    model,
    api: "chat/completions",
    body: {
      ...sampling(options),
      ...responseFormat(format),
      ...toTools(tools),
      messages: toMessages(turns)
    },
    reply: reply(chatShape, stream)
  }
}

/** `POST /api/chat`. */
export const chatDoor: Door = {
  path: "/api/chat",
  format: ollamaFormat,
  read: (body) => Result.gen(() => readChatRequest(body))
}

const notInGenerate = ["suffix", "template", "context", "images"] as const

function* readGenerateRequest(body: Body): Reading<Exchange> {
  const request = yield* readGenerate(body)
  const { format, keep_alive, model, options, prompt, raw, stream, system } = request
  const strange = notInGenerate.find((field) => says(request[field]))
  if (strange !== undefined) return yield* unsupported(strange, "it is not supported here")
  if (prompt === undefined || prompt === null || prompt === "") {
    yield* noUnloading(keep_alive)
    return loading(model, generateShape)
  }
  const asked = { ...sampling(options), ...responseFormat(format) }
  if (raw === true) {
    return { model, api: "completions", body: { ...asked, prompt }, reply: reply(generateShape, stream) }
  }
  const user = { role: "user", content: prompt }
  const messages = says(system) ? [{ role: "system", content: system }, user] : [user]
  return {
    model,
    api: "chat/completions",
    body: { ...asked, messages },
    reply: reply(generateShape, stream)
  }
}

/** `POST /api/generate`: by the model's chat template, unless `raw` is true. */
export const generateDoor: Door = {
  path: "/api/generate",
  format: ollamaFormat,
  read: (body) => Result.gen(() => readGenerateRequest(body))
}

const Embeddings = Schema.Struct({
  data: Schema.Array(Schema.Struct({ embedding: Schema.Array(Schema.Finite) })),
  usage: Schema.optionalKey(Schema.Struct({ prompt_tokens: Schema.optionalKey(Schema.Finite) }))
})
const readEmbeddings = Schema.decodeUnknownOption(Schema.fromJsonString(Embeddings))

/** What is written for the engine's embeddings; nothing when its document is none of those. */
const fromEmbeddings =
  (toJson: (vectors: ReadonlyArray<ReadonlyArray<number>>, tokens: number, about: About) => object) =>
  (document: string, about: About) => {
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
  toText: (document: string, about: About) => string | undefined,
  loaded: (about: About) => object
): Exchange => ({
  model,
  api: "embeddings",
  body: { ...options, input: says(input) ? input : "." },
  reply: {
    _tag: "Document",
    toText: says(input) ? toText : (_document, about) => JSON.stringify(loaded(about))
  }
})

/** `POST /api/embed`. */
export const embedDoor: Door = {
  path: "/api/embed",
  format: ollamaFormat,
  read: (body) =>
    Result.map(readEmbed(body), ({ dimensions, input, model, truncate }) => {
      const options = given({ dimensions, truncate: truncate ?? true })
      return embedding(model, input, options, embedded, ({ model }) => ({ model, embeddings: [] }))
    })
}

/** `POST /api/embeddings`, which `/api/embed` came after. */
export const oldEmbeddingsDoor: Door = {
  path: "/api/embeddings",
  format: ollamaFormat,
  read: (body) =>
    Result.map(readOldEmbedding(body), ({ model, prompt }) =>
      embedding(
        model,
        prompt,
        { truncate: true },
        fromEmbeddings(([embedding = []]) => ({ embedding })),
        () => ({ embedding: [] })
      )
    )
}
