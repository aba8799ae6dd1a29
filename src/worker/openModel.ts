import * as Effect from "effect/Effect"
import type { Llama, LlamaContext, LlamaModel } from "node-llama-cpp"
import { EngineFailed } from "./errors.ts"
import { batchSize } from "./Generator.ts"
import type { LlamaPackage } from "./LlamaPackage.ts"

/** How to load a model. */
export interface EngineOptions {
  readonly modelPath: string
  /** A Jinja chat template that replaces the model's own. */
  readonly chatTemplate?: string | undefined
  /** Context length in tokens; default: the model's training context, at most 8,192. */
  readonly contextSize: number | undefined
  readonly parallel: number
  readonly threads: number
  /** False: CPU. True: all layers on the GPU. */
  readonly gpu: boolean
  readonly engineDir: string | undefined
}

/** A loaded model with its context. */
export interface OpenModel {
  readonly model: LlamaModel
  readonly context: LlamaContext
  /** Tokens that one request may use. */
  readonly contextSize: number
}

const maxDefaultContext = 8192
// llama.cpp shifts the context shortly before it is full. Requests do not get these tokens.
const reserve = 16

const openBackend = async ({ llama }: LlamaPackage, options: EngineOptions) => {
  const backend = await llama.getLlama({
    gpu: options.gpu ? "auto" : false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: llama.LlamaLogLevel.error,
    maxThreads: options.threads
  })
  if (options.gpu && backend.gpu === false) {
    throw new EngineFailed({
      reason:
        "The llama engine has no backend for this GPU; install the GPU variant with 'rbee engine install llama', or use --worker cpu"
    })
  }
  return backend
}

/** Writes the progress of loading to stdout in steps of 10 %; the hive reads it from the worker's log. */
const loadProgress = () => {
  let reported = 0
  return (loaded: number) => {
    const percent = Math.floor(loaded * 10) * 10
    if (percent <= reported || percent >= 100) return
    reported = percent
    process.stdout.write(`Loaded ${percent}% of the model\n`)
  }
}

const loadModel = async (backend: Llama, options: EngineOptions): Promise<OpenModel> => {
  const model = await backend.loadModel({
    modelPath: options.modelPath,
    gpuLayers: options.gpu ? "max" : 0,
    onLoadProgress: loadProgress()
  })
  const contextSize = options.contextSize ?? Math.min(model.trainContextSize, maxDefaultContext)
  const context = await model.createContext({
    contextSize: contextSize + reserve,
    sequences: options.parallel,
    batchSize,
    threads: options.threads
  })
  return { model, context, contextSize }
}

/** Loads the model. After a failure the process must exit, because releasing the backend may hang. */
export const openModel = (packages: LlamaPackage, options: EngineOptions) =>
  Effect.tryPromise({
    try: async () => loadModel(await openBackend(packages, options), options),
    catch: (cause) =>
      cause instanceof EngineFailed
        ? cause
        : new EngineFailed({
            reason: `Failed to load the model: ${cause instanceof Error ? cause.message : String(cause)}`
          })
  })
