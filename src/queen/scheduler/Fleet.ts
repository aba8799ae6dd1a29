import type { Capabilities } from "../../operation/Capabilities.ts"

/** A device of a hive with its last measurements. Sizes in bytes. */
export interface DeviceView {
  /** In lower case, such as `gpu-0`. */
  readonly id: string
  readonly kind: "gpu" | "cpu"
  readonly totalBytes: number
  readonly freeBytes: number
  /** Whether the hive's engine can compute on it. */
  readonly usable: boolean
}

/** Whether a requested device, `gpu-0` or the index `0` of either kind, is the one with this id. */
export const isDevice = (requested: string, id: string) => requested === id || id.endsWith(`-${requested}`)

/** Whether a requested device includes its kind, GPU or CPU, and is not just an index. */
export const includesKind = (requested: string | undefined) => requested?.includes("-") === true

/** An engine that can serve a model. */
export interface EngineView {
  readonly name: string
  readonly capabilities: Capabilities
}

/** A model whose file is on a hive. */
export interface ModelView {
  readonly id: string
  /** The capabilities of each engine of the hive with this model, the default engine first; absent on an older hive. */
  readonly engines?: ReadonlyArray<EngineView> | undefined
  /** Changes when the file is replaced. */
  readonly revision?: string
  /** The memory of a worker of the usual size, in bytes. */
  readonly memoryBytes: number
  /** The usual size: context length and slots; `tokenBytes` is the memory per additional token of context. */
  readonly usual?: {
    readonly contextSize: number
    readonly slots: number
    readonly tokenBytes: number
    /** The least context length if memory is short; absent: `contextSize`. */
    readonly minContext?: number | undefined
    /** The context length that the model was trained for. */
    readonly maxContext?: number | undefined
  }
}

/** A worker as its hive reports it. */
export interface WorkerView {
  readonly hive: string
  readonly id: string
  readonly model: string
  readonly state: string
  readonly engine: string
  readonly device: string
  /** Requests that it serves concurrently. */
  readonly slots: number
  /** Tokens of one request, prompt and answer. */
  readonly contextSize: number
  readonly memoryBytes: number
  /** Absent on an older hive. */
  readonly capabilities?: Capabilities | undefined
}

/** The facts about a hive on which decisions depend. */
export interface HiveView {
  readonly id: string
  /** Why the hive is away; then only its models are known. */
  readonly away?: string | undefined
  readonly devices: ReadonlyArray<DeviceView>
  readonly models: ReadonlyArray<ModelView>
  /** The devices that each of its engines can use; absent on an older hive. */
  readonly engineDevices?: ReadonlyMap<string, ReadonlyArray<string>> | undefined
  readonly workers: ReadonlyArray<WorkerView>
}

/** The name of a worker in the fleet; its id is unique only on its hive. */
export const keyOf = ({ hive, id }: Pick<WorkerView, "hive" | "id">) => `${hive}/${id}`

/** Whether the worker accepts requests. */
export const isServing = ({ state }: Pick<WorkerView, "state">) => state === "ready" || state === "busy"
