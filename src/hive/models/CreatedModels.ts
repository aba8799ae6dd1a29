import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { CreatedModel, isGoTemplate, maxDefinition } from "../../operation/CreatedModel.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import { systemProblem } from "../../settings/systemProblem.ts"
import { atomicWrite } from "../../system/atomicWrite.ts"

/** The suffix of the definition file of a created model. */
export const createdExtension = ".created.json"

const templateExtension = ".created.jinja"

/** The subfolder of the models folder for models that were created from one in another folder. */
export const createdFolder = "created"

const Stored = Schema.Struct({ id: Schema.String, ...CreatedModel.fields })
export type StoredDefinition = typeof Stored.Type
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Stored))
const encode = Schema.encodeSync(Schema.fromJsonString(Stored))

/** The requested definition is invalid. */
export class InvalidModelDefinition extends Schema.TaggedError<InvalidModelDefinition>()(
  "InvalidModelDefinition",
  { id: Schema.String, reason: Schema.String },
  { httpApiStatus: failureStatus.InvalidModelDefinition }
) {
  override get message() {
    return `Model '${this.id.slice(0, 100).replace(/\p{C}/gu, "?")}' cannot be created: ${this.reason}`
  }
}

/** The files of a new model could not be written. */
export class ModelNotCreated extends Schema.TaggedError<ModelNotCreated>()(
  "ModelNotCreated",
  { id: Schema.String, folder: Schema.String, reason: Schema.String },
  { httpApiStatus: 500 }
) {
  override get message() {
    return `Model '${this.id}' was not created: cannot write to ${this.folder}: ${this.reason}`
  }
}

const part = "[A-Za-z0-9_][A-Za-z0-9._-]{0,79}"
const modelName = new RegExp(`^(?:${part}/)?${part}(?::${part})?$`)
const reserved = /^(?:rbee|hf|ollama|https?|file):|^(?:hf\.co|huggingface\.co)\//i

/** The id of a model to create: its name without `:latest`. Fails for an invalid or reserved name. */
export const createdId = (name: string): Effect.Effect<string, InvalidModelDefinition> => {
  const id = name.replace(/:latest$/, "")
  const [prefix] = reserved.exec(id) ?? []
  if (prefix !== undefined) {
    const reason = `the names that begin with '${prefix}' are reserved for models of that source; choose another name`
    return Effect.fail(new InvalidModelDefinition({ id: name, reason }))
  }
  return modelName.test(id) && !id.includes("..")
    ? Effect.succeed(id)
    : Effect.fail(
        new InvalidModelDefinition({
          id: name,
          reason: "its name must be NAME, NAME:TAG or OWNER/NAME, in letters, digits, '.', '_' and '-'"
        })
      )
}

/** The parser's error for a Jinja chat template; undefined for a valid one. */
const templateProblem = Effect.fnUntraced(function* (template: string) {
  // A static import would slow the start of every command.
  const { Template } = yield* Effect.promise(() => import("@huggingface/jinja"))
  const parsed = Result.try(() => new Template(template))
  if (Result.isSuccess(parsed)) return undefined
  const cause = parsed.failure
  if (cause instanceof RangeError) return "it is nested too deeply"
  // At an unexpected end of the template the parser throws a TypeError.
  return cause instanceof SyntaxError ? cause.message : "it ends inside a block; an end tag is missing"
})

/** Rejects a definition that engines cannot use. */
export const checkDefinition = Effect.fnUntraced(function* (stored: StoredDefinition) {
  const refuse = (reason: string) => new InvalidModelDefinition({ id: stored.id, reason })
  const { template } = stored
  if (template !== undefined && isGoTemplate(template)) {
    return yield* refuse(
      "its template is a Go template; chat templates here are Jinja, such as " +
        "{% for message in messages %}{{ message.content }}{% endfor %}"
    )
  }
  if (template !== undefined && !/\bmessages\b/.test(template)) {
    return yield* refuse("its template does not use 'messages', so no conversation would reach the model")
  }
  if (encode(stored).length > maxDefinition) {
    return yield* refuse(`its definition has more than ${maxDefinition} characters`)
  }
  const problem = template === undefined ? undefined : yield* templateProblem(template)
  if (problem !== undefined) return yield* refuse(`its template cannot be parsed: ${problem}`)
})

/** Reads a definition file; none when the file is not a definition. Fails when it cannot be read. */
export const loadCreated = (file: string) =>
  Effect.map(
    FileSystem.FileSystem.use((fs) => fs.readFileString(file)),
    decode
  )

/** The path of the chat template for a definition file. */
export const templateOf = (file: string) => file.slice(0, -createdExtension.length) + templateExtension

/** Writes the definition of a created model and its template, if it has one. The definition is written last. */
export const writeCreated = Effect.fn("CreatedModels.writeCreated")(function* (
  folder: string,
  stored: StoredDefinition
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(folder, encodeURIComponent(stored.id) + createdExtension)
  yield* Effect.gen(function* () {
    yield* fs.makeDirectory(folder, { recursive: true })
    if (stored.template === undefined) yield* fs.remove(templateOf(file), { force: true })
    else yield* atomicWrite(templateOf(file), stored.template)
    yield* atomicWrite(file, `${encode(stored)}\n`)
  }).pipe(
    Effect.uninterruptible,
    Effect.mapError((error) => new ModelNotCreated({ id: stored.id, folder, reason: systemProblem(error) }))
  )
})
