import * as Schema from "effect/Schema"
import type { Capabilities } from "../../operation/Capabilities.ts"
import type { Backend } from "../devices/Backend.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"
import type { WorkerSpec } from "./WorkerSpec.ts"

/** The command of a worker's process. It must serve the OpenAI API on loopback, and log to stdout or stderr. */
export interface EngineCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/**
 * How the engine stops a running request, and how it confirms that:
 *
 * - `Delete`: `DELETE /v1/requests/{id}` with the request's `x-request-id`. The answer confirms the stop; a 404 confirms
 *   that the worker has no such request.
 * - `Disconnect`: closing the connection. Where the engine reports how many requests it works on, the stop is confirmed
 *   when only those of other clients are left; otherwise when the health check answers after the disconnect.
 */
export type Cancellation =
  | { readonly _tag: "Delete" }
  | { readonly _tag: "Disconnect"; readonly activity?: Activity }

/** Where an engine reports how many requests it works on. */
export interface Activity {
  readonly path: `/${string}`
  /** The number in the answer's body; absent when the body does not contain it. */
  readonly running: (body: string) => number | undefined
}

/** A program that runs models: what rbee must know to start its workers. */
export interface Engine {
  readonly name: string
  readonly cancellation: Cancellation
  /** Fields that the body of a streamed request needs besides the client's. */
  readonly streamFields?: Readonly<Record<string, boolean>>
  /** Whether a worker keeps streamed answers for a hive that restarts; see `src/worker/README.md`. */
  readonly keepsAnswers?: boolean
  /** The backends that are installed. */
  readonly backends: ReadonlyArray<Backend>
  /** How to install the engine, or its support for further devices. */
  readonly install: string
  /** Why the engine cannot be used; absent when it can. */
  readonly missing?: string
  readonly command: (spec: WorkerSpec, port: number) => EngineCommand
  /** The path that answers 200 once the model is loaded. */
  readonly readyPath: string
  /** The loading progress in a line of the log, in percent; absent when the line contains none. */
  readonly loaded?: (line: string) => number | undefined
  /** Whether the engine accepts a chat template that replaces the model's own. */
  readonly chatTemplates?: boolean
  /** What a worker with the model can do; absent capabilities are unknown. */
  readonly capabilities?: (model: ModelTraits) => Capabilities
  /** Why the engine cannot serve the file; absent when it can. */
  readonly refuses?: (modelPath: string) => string | undefined
}

/** The requested engine is not installed on this machine. */
export class EngineNotInstalled extends Schema.TaggedError<EngineNotInstalled>()("EngineNotInstalled", {
  engine: Schema.String,
  reason: Schema.String,
  install: Schema.String
}) {
  override get message() {
    return `The engine '${this.engine}' is not installed: ${this.reason}; ${this.install}`
  }
}

/** The engine cannot serve the model. */
export class EngineRefusesModel extends Schema.TaggedError<EngineRefusesModel>()("EngineRefusesModel", {
  engine: Schema.String,
  model: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The engine '${this.engine}' cannot serve ${this.model}: ${this.reason}`
  }
}

/** Refuses every file but GGUF, the only format that llama.cpp reads. */
export const ggufOnly = (modelPath: string) =>
  /\.gguf$/i.test(modelPath) ? undefined : "it serves GGUF files only"

/**
 * Environment variables that show a program only one GPU: for CUDA in bus order, as nvidia-smi counts, and for HIP.
 * Vulkan and Metal devices are chosen by the program's own flags.
 */
export const onlyDevice = ({ backend, device }: WorkerSpec): Readonly<Record<string, string>> => {
  if (backend === "cuda") return { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: String(device) }
  if (backend === "rocm") return { HIP_VISIBLE_DEVICES: String(device) }
  return {}
}

/** The engine that ships with rbee, used when neither the request nor the settings name one. */
export const builtInEngine = "llama"
