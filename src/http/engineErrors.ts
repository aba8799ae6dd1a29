import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

/** An error as an engine or another HTTP server describes it. */
export interface EngineError {
  /** The server's sentence; absent if it gave none. */
  readonly message: string | undefined
  readonly type: string | null
  readonly param: string | null
  /** The code; a number as text. */
  readonly code: string | null
  /** The HTTP status that a numeric code means. */
  readonly status: number | undefined
}

interface Found {
  readonly message: string
  readonly type?: string | undefined
  readonly param?: string | undefined
  readonly code?: string | undefined
  readonly status?: number | undefined
}

/** The longest sentence, in UTF-16 units; longer ones are cut, because a client shows them to a person. */
const maxMessage = 2_000
const maxDepth = 4
const maxItems = 8

/**
 * The fields in which servers put their sentence, the most specific first. If both `error` and `message` are texts, `error`
 * is only the name of the status.
 */
const fields = ["message", "error", "detail", "msg", "error_message", "errors", "reason", "title"] as const

const word = (value: unknown) => {
  if (typeof value === "string" && value !== "") return value
  return typeof value === "number" ? String(value) : undefined
}

const httpError = (value: unknown) => {
  const number = Number(value)
  return Number.isInteger(number) && number >= 400 && number < 600 ? number : undefined
}

// FastAPI names the invalid field: ["body", "max_tokens"].
const pathOf = (loc: unknown) => {
  if (!Array.isArray(loc)) return undefined
  const path = loc.flatMap((step) => word(step) ?? []).filter((step) => step !== "body")
  return path.length === 0 ? undefined : path.join(".")
}

const readList = (items: ReadonlyArray<unknown>, depth: number): Found | undefined => {
  const all = items.slice(0, maxItems).flatMap((item) => read(item, depth - 1) ?? [])
  const [first] = all
  if (first === undefined) return undefined
  const sentences = all.map(({ message, param }) => (param === undefined ? message : `${param}: ${message}`))
  return { ...first, message: sentences.join("; ") }
}

const read = (value: unknown, depth: number): Found | undefined => {
  if (typeof value === "string") return value.trim() === "" ? undefined : { message: value.trim() }
  if (depth === 0) return undefined
  if (Array.isArray(value)) return readList(value, depth)
  if (!Predicate.isReadonlyObject(value)) return undefined
  const inside = Predicate.isReadonlyObject(value["error"]) ? read(value["error"], depth - 1) : undefined
  let found = inside
  for (const field of fields) found ??= read(value[field], depth - 1)
  if (found === undefined) return undefined
  const { code, error_type, loc, param, status, status_code, type } = value
  return {
    message: found.message,
    type: found.type ?? (type === "error" ? undefined : word(type)) ?? word(error_type),
    param: found.param ?? word(param) ?? pathOf(loc),
    code: found.code ?? word(code),
    status: found.status ?? httpError(code) ?? httpError(status) ?? httpError(status_code)
  }
}

const isCollection = (value: unknown) => typeof value === "object" && value !== null

const withoutTags = (html: string) =>
  html
    .replace(/<(script|style)\b[^]*?<\/\1>/gi, " ")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim()

/**
 * Reads the body of an error response, or the data of an error event, in every form that engines write: OpenAI's object
 * with a text or number as code (llama-server, vLLM), the same without the outer `error` (vLLM before 0.10, SGLang), a
 * text as `error` (TGI, MLX, Ollama), FastAPI's `detail` as a text or a list, HTML, and plain text.
 */
export const readEngineError = (body: string): EngineError => {
  const text = body.trim()
  const parsed = Result.try((): unknown => JSON.parse(text))
  const found = Result.isSuccess(parsed)
    ? (read(parsed.success, maxDepth) ?? (isCollection(parsed.success) ? { message: text } : undefined))
    : read(text.startsWith("<") ? withoutTags(text) : text, maxDepth)
  return {
    message: found?.message.slice(0, maxMessage),
    type: found?.type ?? null,
    param: found?.param ?? null,
    code: found?.code ?? null,
    status: found?.status
  }
}

/** The codes and types of engines for a prompt that does not fit. */
const overflowNames: ReadonlySet<string> = new Set([
  "context_length_exceeded",
  "exceed_context_size_error",
  "context_window_exceeded"
])

/** The sentences of engines for a prompt that does not fit the context, alone or with its answer. */
const overflowWords: ReadonlyArray<readonly [engine: string, words: RegExp]> = [
  ["llama.cpp", /exceeds? the available context size|context size has been exceeded/i],
  ["llama.cpp, embeddings", /input .*is too large to process|is larger than the (max )?context size/i],
  ["llama-cpp-python", /exceed context window of/i],
  ["OpenAI, vLLM, SGLang", /maximum context length (is|of)/i],
  ["vLLM", /is longer than the maximum model length|the model's context length is only/i],
  ["SGLang", /longer than the model's context length/i],
  ["TGI", /`inputs` tokens \+ `max_new_tokens` must be/i],
  ["TGI, TEI", /`inputs` must have less than \d+ tokens/i],
  ["MLX, LM Studio", /max(imum)? context window|when context the overflows|reached context length of/i],
  ["Ollama", /input length exceeds (the |maximum )?context length/i],
  ["TabbyAPI, TensorRT-LLM", /(greater than|exceeds?) max_seq_len/i],
  [
    "TensorRT-LLM",
    /prompt length \(\d+\) exceeds maximum input length|should not exceed max_(num_tokens|seq_len)/i
  ],
  ["LMDeploy", /exceeds? (the )?(model's )?(max(imum)? )?session_len/i],
  ["mistral.rs", /prompt sequence length greater than/i],
  ["Anthropic", /prompt is too long|exceed context limit/i],
  ["Gemini", /input token count .*exceeds the maximum number of tokens/i]
]

/** Whether the error says that the prompt does not fit the context. */
export const isContextOverflow = ({ code, message = "", type }: EngineError) =>
  overflowNames.has(code ?? "") ||
  overflowNames.has(type ?? "") ||
  overflowWords.some(([, words]) => words.test(message))

/** The sentences of engines, with status 500, for faults of the request that every worker of the model would report. */
const requestFaultWords = [
  // llama-server: a model without a projector.
  /(image|audio|video) input is not supported/i,
  // llama-server: tools, tool_choice, messages or schemas that it cannot read.
  /failed to parse (tools|messages|grammar)|invalid tool_choice/i,
  // llama-server, current and before 2026: a chat template that raises an exception.
  /jinja exception|while executing \w+ at line|at row \d+, column \d+:/i
]

/** Whether the error's sentence blames the request, whatever the status of the response. */
export const isRequestFault = ({ message = "" }: EngineError) =>
  requestFaultWords.some((words) => words.test(message))

/** The phrases in which engines state the length of a refused prompt. */
const countSentences = [
  /prompt has (\d+) tokens/i,
  /(?:request|prompt) \((\d+) tokens\)/i,
  /(?:request|prompt) (?:has|contains)(?: at least)? (\d+) (?:input )?tokens/i,
  /(\d+) (?:tokens )?(?:in|from) the (?:input )?(?:messages|prompt|input)/i,
  /(?:resulted in|given:|input length:?|prompt \(length) (\d+)/i
]

/** The number of prompt tokens in an engine's sentence about a context overflow; undefined if it contains none. */
export const promptTokensIn = (sentence: string): number | undefined => {
  const count = countSentences
    .map((pattern) => pattern.exec(sentence)?.[1])
    .find((count) => count !== undefined)
  return count === undefined ? undefined : Number(count)
}

/**
 * Whether the data of an engine's event may be an error, and so has to be parsed. Quotation marks inside a JSON string are
 * escaped, so no text of an answer looks like the key.
 */
export const mayBeError = (data: string) => data.includes('"error":') || !data.includes('"choices":')

/** The error in the data of an event; undefined for a part of the answer. */
export const errorInEvent = (data: string): EngineError | undefined => {
  const parsed = Result.try((): unknown => JSON.parse(data))
  if (!Result.isSuccess(parsed) || !Predicate.isReadonlyObject(parsed.success)) return undefined
  const { choices, detail, error, object } = parsed.success
  const isError =
    (error !== undefined && error !== null && error !== false) ||
    object === "error" ||
    (choices === undefined && detail !== undefined)
  return isError ? readEngineError(data) : undefined
}
