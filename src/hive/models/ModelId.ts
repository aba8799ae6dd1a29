import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** The text is not a model id. The message lists the accepted forms. */
export class InvalidModelId extends Schema.TaggedError<InvalidModelId>()("InvalidModelId", {
  id: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return (
      `'${this.id}' is not a model id: ${this.reason}; write rbee:tiny, hf:org/repo[:quant or file] (or org/repo), ` +
      "ollama:name[:tag], https://host/path/model.gguf, file:/path/to/model.gguf, or the name of a file in the models folder"
    )
  }
}

/** A model and its source. `Name` is a file of the models folder, without `.gguf`. */
export const ModelId = Schema.TaggedUnion({
  Bundled: { name: Schema.Literal("tiny") },
  HuggingFace: { org: Schema.String, repo: Schema.String, variant: Schema.UndefinedOr(Schema.String) },
  Ollama: { name: Schema.String, tag: Schema.UndefinedOr(Schema.String) },
  Url: { url: Schema.String },
  File: { path: Schema.String },
  Name: { name: Schema.String }
})
export type ModelId = typeof ModelId.Type

const maxCharacters = 512
const part = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
const huggingFace = new RegExp(`^(?:hf:)?(${part})/(${part})(?::(${part}(?:/${part}){0,7}))?$`)
const ollama = new RegExp(`^ollama:(${part}(?:/${part})?)(?::(${part}))?$`)
const filePath = /^(?:\/[\p{L}\p{M}\p{N}_.@%+=:,~ ()[\]{}!#&'-]+)+$/u
const url = /^https:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?\/[A-Za-z0-9\-._~:/?@&=+,%]*$/
const fileName =
  /^[\p{L}\p{N}_([{](?:[\p{L}\p{M}\p{N}._+@=,~ ()[\]{}!#&'%-]*[\p{L}\p{M}\p{N}._+@=,~()[\]{}!#&'%-])?$/u

/** Parses a model id in any accepted form. */
export const parse = (text: string): Result.Result<ModelId, InvalidModelId> => {
  const problem = generalProblem(text)
  if (problem !== undefined) return refuse(text, problem)
  const scheme = schemeOf(text)
  if (scheme === "rbee") {
    return withoutEnding(text) === "rbee:tiny"
      ? Result.succeed(bundled)
      : refuse(text, "rbee brings only the model rbee:tiny")
  }
  if (scheme === "ollama") return parseOllama(text)
  if (scheme === "https") return parseUrl(text)
  if (scheme === "file") return parseFile(text, text.slice("file:".length))
  if (text.startsWith("/")) {
    return /\.gguf$/i.test(text) ? parseFile(text, text) : refuse(text, "a path must end in .gguf")
  }
  const hub = huggingFace.exec(text)
  if (hub?.[1] !== undefined && hub[2] !== undefined) {
    const variant = hub[3] === "latest" ? undefined : hub[3]
    return Result.succeed(ModelId.cases.HuggingFace.make({ org: hub[1], repo: hub[2], variant }))
  }
  if (scheme !== undefined) {
    return refuse(
      text,
      scheme === "hf" ? "it does not name an org/repo" : `'${scheme}:' is not a source of models`
    )
  }
  const name = withoutEnding(text)
  if (!fileName.test(name)) return refuse(text, "it has characters that a name may not have")
  return Result.succeed(ModelId.cases.Name.make({ name }))
}

const withoutEnding = (name: string) => name.replace(/(?:\.gguf|:latest)+$/i, "")

const sources = new Set(["rbee", "hf", "ollama", "https", "file"])

/** The text before the first colon, except in `x:latest`, which is the file `x`. */
const schemeOf = (text: string) => {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]
  return scheme === undefined || sources.has(scheme) || text !== `${scheme}:latest` ? scheme : undefined
}

/** The canonical form of a model id, equal for all requests for the same model. */
export const format = (id: ModelId): string =>
  ModelId.match(id, {
    Bundled: ({ name }) => `rbee:${name}`,
    HuggingFace: ({ org, repo, variant }) => `hf:${org}/${repo}${variant === undefined ? "" : `:${variant}`}`,
    Ollama: ({ name, tag }) => `ollama:${name}${tag === undefined ? "" : `:${tag}`}`,
    Url: ({ url }) => url,
    File: ({ path }) => `file:${path}`,
    Name: ({ name }) => name
  })

const bundled = ModelId.cases.Bundled.make({ name: "tiny" })

// The message contains the rejected id, sanitized for a terminal and truncated.
const refuse = (id: string, reason: string) =>
  Result.fail(new InvalidModelId({ id: id.slice(0, 100).replace(/\p{C}/gu, "?"), reason }))

const generalProblem = (text: string): string | undefined => {
  if (text === "") return "it is empty"
  if (text.length > maxCharacters) return `it is longer than ${maxCharacters} characters`
  if (/[\p{C}\u2028\u2029]/u.test(text)) return "it has control characters"
  if (/(?:^|[/:])(?:\.|%2e){1,2}(?:$|[/:])|\.\./i.test(text)) return "it has '..' or '.' as a part"
  if (/[;|<>$`"\\*^]/.test(text)) return "it has characters with a meaning in a shell"
  return undefined
}

const parseOllama = (text: string) => {
  const found = ollama.exec(text)
  if (found?.[1] === undefined) return refuse(text, "it does not name a model of Ollama")
  const tag = found[2] === "latest" ? undefined : found[2]
  return Result.succeed(ModelId.cases.Ollama.make({ name: found[1], tag }))
}

const parseUrl = (text: string) => {
  const parsed = url.test(text) ? URL.parse(text) : null
  return parsed === null
    ? refuse(text, "it is not a plain https address of a file")
    : Result.succeed(ModelId.cases.Url.make({ url: parsed.href }))
}

const parseFile = (text: string, path: string) =>
  filePath.test(path)
    ? Result.succeed(ModelId.cases.File.make({ path }))
    : refuse(text, "a file is named by its absolute path, in plain characters")
