// @effect-diagnostics nodeBuiltinImport:off -- reads one file once, while the daemon starts
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const decodePackage = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ name: Schema.String, version: Schema.String }))
)

/** The version of an npm package that this program would load; undefined if it is not installed. */
export const installedVersion = (name: string) => {
  // A package need not export its package.json, so the folders that Node searches are searched here.
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? []
  for (const folder of folders) {
    const text = Result.try(() => readFileSync(path.join(folder, name, "package.json"), "utf8"))
    const found = Result.isFailure(text) ? undefined : Option.getOrUndefined(decodePackage(text.success))
    if (found?.name === name) return found.version
  }
  return undefined
}
