import type { Capabilities } from "../../operation/Capabilities.ts"

/** A device of a hive, as the hive measured it last. Sizes in bytes. */
export interface DeviceView {
  /** In short, such as `gpu-0`. */
  readonly id: string
  readonly kind: "gpu" | "cpu"
  readonly totalBytes: number
  readonly freeBytes: number
  /** Whether the hive's engine can compute on it. */
  readonly usable: boolean
}

/** Whether a requested device, `gpu-0` or the index `0` of either kind, is the one with this id. */
export const isDevice = (requested: string, id: string) => requested === id || id.endsWith(`-${requested}`)

/** Whether a requested device says if it is a GPU or a CPU. */
export const namesKind = (requested: string | undefined) => requested?.includes("-") === true

/** An engine that can serve a model. */
export interface EngineView {
  readonly name: string
  readonly capabilities: Capabilities
}

/** A model whose file is on a hive. */
export interface ModelView {
  readonly id: string
  /** What a worker of each engine of the hive can do with it, the default engine first; not known of an older hive. */
  readonly engines?: ReadonlyArray<EngineView> | undefined
  /** Changes when the file is replaced. */
  readonly revision?: string
  /** What a worker with it takes, in bytes, … */
  readonly memoryBytes: number
  /** … if it has this context length and so many requests at the same time; each token more takes `tokenBytes`. */
  readonly usual?: {
    readonly contextSize: number
    readonly slots: number
    readonly tokenBytes: number
    /** How far the context may shrink where memory is short; not at all when it is not said. */
    readonly minContext?: number | undefined
    /** What the model was trained for, in tokens. */
    readonly maxContext?: number | undefined
  }
}

/** A worker, as its hive tells of it. */
export interface WorkerView {
  readonly hive: string
  readonly id: string
  readonly model: string
  readonly state: string
  readonly engine: string
  readonly device: string
  /** Requests that it works on at the same time. */
  readonly slots: number
  /** Tokens that one request may have. */
  readonly contextSize: number
  readonly memoryBytes: number
  /** What it can do; not known of an older hive's. */
  readonly capabilities?: Capabilities | undefined
}

/** A hive, with all that a decision needs of it. */
export interface HiveView {
  readonly id: string
  /** Why the hive takes no work now; only its models are known then. */
  readonly away?: string | undefined
  readonly devices: ReadonlyArray<DeviceView>
  readonly models: ReadonlyArray<ModelView>
  /** The devices that each of its engines can use; not known of an older hive. */
  readonly engineDevices?: ReadonlyMap<string, ReadonlyArray<string>> | undefined
  readonly workers: ReadonlyArray<WorkerView>
}

/** The name of a worker in the whole fleet: ids are unique on a hive only. */
export const keyOf = ({ hive, id }: Pick<WorkerView, "hive" | "id">) => `${hive}/${id}`

/** Whether the worker takes requests. */
export const isServing = ({ state }: Pick<WorkerView, "state">) => state === "ready" || state === "busy"
