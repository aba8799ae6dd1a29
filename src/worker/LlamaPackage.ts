import { createRequire } from "node:module"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type * as Jinja from "@huggingface/jinja"
import * as Effect from "effect/Effect"
import type * as NodeLlamaCpp from "node-llama-cpp"
import { EngineFailed } from "./errors.ts"

/** The packages of the engine that the worker uses. */
export interface LlamaPackage {
  readonly llama: typeof NodeLlamaCpp
  readonly jinja: typeof Jinja
}

const find = (folders: ReadonlyArray<string>) => {
  for (const folder of folders) {
    try {
      return createRequire(path.join(folder, "_")).resolve("node-llama-cpp")
    } catch {
      // Try the next folder.
    }
  }
  throw new EngineFailed({
    reason: "The llama engine is not installed: node-llama-cpp was not found; run 'rbee engine install llama'"
  })
}

const load = async (folders: ReadonlyArray<string>): Promise<LlamaPackage> => {
  const entry = find(folders)
  const jinja = createRequire(entry).resolve("@huggingface/jinja")
  return { llama: await import(pathToFileURL(entry).href), jinja: await import(pathToFileURL(jinja).href) }
}

/** Loads node-llama-cpp from the engine's folder if it is installed there, else from rbee's own dependencies. */
export const loadLlamaPackage = (engineDir: string | undefined) =>
  Effect.tryPromise({
    try: () => load([...(engineDir === undefined ? [] : [engineDir]), import.meta.dirname]),
    catch: (cause) =>
      cause instanceof EngineFailed
        ? cause
        : new EngineFailed({ reason: `The llama engine could not be loaded: ${String(cause)}` })
  })
