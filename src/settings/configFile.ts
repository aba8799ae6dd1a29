import * as Effect from "effect/Effect"
import * as Toml from "effect/encoding/Toml"
import * as FileSystem from "effect/FileSystem"
import * as Predicate from "effect/Predicate"
import { isValueTooDeep, maxDepth } from "../operation/nesting.ts"
import { unusableFile } from "./SettingsError.ts"
import { systemProblem } from "./systemProblem.ts"

/** Reads `config.toml` and its text; an absent file is an empty document. */
export const readConfigFile = Effect.fn("Settings.readConfigFile")(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const content = yield* Effect.catch(fs.readFileString(file), (error) =>
    error.reason._tag === "NotFound"
      ? Effect.succeed("")
      : Effect.fail(unusableFile(file, `cannot be read: ${systemProblem(error)}`))
  )
  const tooDeep = unusableFile(file, `is nested deeper than ${maxDepth} tables and lists`)
  // The parser is recursive and overflows the stack.
  const document = yield* Effect.mapError(Effect.fromResult(Toml.parse(content)), ({ message }) =>
    /call stack/.test(message) ? tooDeep : unusableFile(file, `is not a TOML document: ${message}`)
  )
  return isValueTooDeep(document) ? yield* tooDeep : { document, text: content }
})

/** The value of a dotted key in a document of tables. */
export const valueAt = (document: unknown, key: string): unknown =>
  key
    .split(".")
    .reduce<unknown>((value, name) => (Predicate.isReadonlyObject(value) ? value[name] : undefined), document)

/** The dotted keys of all values in a document of tables. */
export const keysOf = (document: unknown, prefix = ""): ReadonlyArray<string> =>
  Predicate.isReadonlyObject(document)
    ? Object.entries(document).flatMap(([name, value]) =>
        keysOf(value, prefix === "" ? name : `${prefix}.${name}`)
      )
    : [prefix]
