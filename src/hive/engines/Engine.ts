import * as Schema from "effect/Schema"
import type { Capabilities } from "../../operation/Capabilities.ts"
import type { Backend } from "../devices/Backend.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"
import type { WorkerSpec } from "./WorkerSpec.ts"

/** How the process of a worker is started. It must speak the OpenAI API on loopback, and log to stdout or stderr. */
export interface EngineCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/**
 * How a request that runs is stopped, and what confirms that it has stopped:
 *
 * - `Delete`: `DELETE /v1/requests/{id}` with the id of the request's `x-request-id`. Its answer confirms the stop; a 404
 *   confirms that the worker has no such request.
 * - `Disconnect`: closing the connection. Where the engine tells how many requests it works on, the stop is confirmed when
 *   they are no more than those of others; else by its health check, which it answers after the connection is closed.
 */
export type Cancellation =
  | { readonly _tag: "Delete" }
  | { readonly _tag: "Disconnect"; readonly activity?: Activity }

/** Where an engine tells how many requests it works on. */
export interface Activity {
  readonly path: `/${string}`
  /** The number in the answer's body; absent when it does not tell. */
  readonly running: (body: string) => number | undefined
}

/** A program that makes workers. */
export interface Engine {
  readonly name: string
  readonly cancellation: Cancellation
  /** What the body of a streamed request has besides the client's fields. */
  readonly streamFields?: Readonly<Record<string, boolean>>
  /** Through what it can compute, as it is installed here. */
  readonly backends: ReadonlyArray<Backend>
  /** How to get it, or to get it for the devices that it cannot use yet. */
  readonly install: string
  /** Why it cannot be used at all; absent when it can. */
  readonly missing?: string
  readonly command: (spec: WorkerSpec, port: number) => EngineCommand
  /** The path that answers 200 when the model is loaded. */
  readonly readyPath: string
  /** How far a line of its log says that the model is loaded, in percent; absent when it tells nothing. */
  readonly loaded?: (line: string) => number | undefined
  /** Whether it can be given a chat template instead of the model's own. */
  readonly chatTemplates?: boolean
  /** What its worker of a model can do; what it does not say is not known. */
  readonly capabilities?: (model: ModelTraits) => Capabilities
  /** Why it cannot serve the file; absent when it can. */
  readonly refuses?: (modelPath: string) => string | undefined
}

/** The engine that was named is not on this machine. */
export class EngineNotInstalled extends Schema.TaggedError<EngineNotInstalled>()("EngineNotInstalled", {
  engine: Schema.String,
  reason: Schema.String,
  install: Schema.String
}) {
  override get message() {
    return `The engine '${this.engine}' is not on this machine: ${this.reason}; ${this.install}`
  }
}

/** The engine cannot serve such a model. */
export class EngineRefusesModel extends Schema.TaggedError<EngineRefusesModel>()("EngineRefusesModel", {
  engine: Schema.String,
  model: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The engine '${this.engine}' cannot serve ${this.model}: ${this.reason}`
  }
}

/** A GGUF file, which is all that llama.cpp reads. */
export const ggufOnly = (modelPath: string) =>
  /\.gguf$/i.test(modelPath) ? undefined : "it serves GGUF files only"

/**
 * The variables by which a program sees one GPU and no other: CUDA's in the order of the bus, as nvidia-smi counts, and
 * HIP's. Vulkan's and Metal's devices are chosen by the program's own flags.
 */
export const onlyDevice = ({ backend, device }: WorkerSpec): Readonly<Record<string, string>> => {
  if (backend === "cuda") return { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: String(device) }
  if (backend === "rocm") return { HIP_VISIBLE_DEVICES: String(device) }
  return {}
}

/** The engine that ships with rbee, and is meant when neither a request nor the settings name one. */
export const builtInEngine = "llama"
