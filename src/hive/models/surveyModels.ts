import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { firstPartOf } from "../gguf/splitFiles.ts"
import type { Skipped } from "./ModelFolder.ts"
import type { ModelIndex } from "./ModelIndex.ts"
import { type ModelDetails, modelDetails } from "./ModelRecord.ts"

/** The models of a hive, and the files that are not usable. */
export interface Survey {
  readonly models: ReadonlyArray<ModelDetails>
  readonly skipped: ReadonlyArray<Skipped>
}

const concurrentReads = 8

/** Logs each unusable file once, and again when the reason changes. */
const makeSkippedLog = () => {
  let logged: ReadonlyMap<string, string> = new Map()
  return Effect.fnUntraced(function* (skipped: ReadonlyArray<Skipped>) {
    const before = logged
    logged = new Map(skipped.map(({ path, reason }) => [path, reason]))
    for (const { path, reason } of skipped) {
      if (before.get(path) !== reason)
        yield* Effect.logWarning("file is not a usable model", { path, reason })
    }
  })
}

/** Makes the survey of an index, which reads the headers of all files. */
export const makeSurvey = ({ bundled, contents, header }: ModelIndex): Effect.Effect<Survey> => {
  const log = makeSkippedLog()
  return Effect.gen(function* () {
    const found = yield* contents
    const files = [...Option.toArray(yield* bundled), ...found.files]
    const paths = new Set(files.map(({ path }) => path))
    const skipped = [...found.skipped]
    const usable = yield* Effect.forEach(
      files,
      (file) =>
        header(file.path).pipe(
          Effect.map((gguf): ModelDetails | undefined => modelDetails(file, gguf)),
          Effect.catch(({ kind, reason }) => {
            const first = kind === "later_part" ? firstPartOf(file.path) : undefined
            if (first === undefined) skipped.push({ path: file.path, reason })
            else if (!paths.has(first)) {
              const why = `the first file of this split model is missing (${first})`
              skipped.push({ path: file.path, reason: why })
            }
            return Effect.undefined
          })
        ),
      { concurrency: concurrentReads }
    )
    yield* log(skipped)
    return { models: usable.filter((model) => model !== undefined), skipped }
  }).pipe(Effect.withSpan("Models.survey"))
}
