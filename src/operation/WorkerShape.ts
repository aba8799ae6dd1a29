import type { HiveInventory, StoredModel } from "./Inventory.ts"

/** The size of a worker: context length in tokens, and number of slots. */
export interface WorkerShape {
  readonly contextSize: number
  readonly slots: number
}

/** Requirements for a worker's size. */
export interface ShapeRequest {
  /** Exact context length, in tokens. */
  readonly contextSize?: number | undefined
  /** Minimum context length, in tokens; the worker gets more if memory allows. */
  readonly minContext?: number | undefined
  readonly slots?: number | undefined
}

/** The size of a worker that is started without requirements. */
export interface UsualShape extends WorkerShape {
  /** The shortest context length if memory is short. */
  readonly minContext: number
  /** The context length that the model was trained for. */
  readonly maxContext: number
}

const halves = (from: number, minimum: number) => {
  const all: Array<number> = []
  for (let value = from; value > minimum; value = Math.floor(value / 2)) all.push(value)
  return [...all, minimum]
}

/**
 * The possible sizes of a worker, best first: a shorter context if memory is short, fewer slots for a long prompt. The
 * context for a long prompt is rounded up to a power of two, so that a conversation can grow in it.
 */
export const shapesOf = (request: ShapeRequest, usual: UsualShape): ReadonlyArray<WorkerShape> => {
  const { contextSize, minContext = 0, slots = usual.slots } = request
  if (contextSize !== undefined) return [{ contextSize, slots }]
  if (minContext <= usual.contextSize) {
    const minimum = Math.min(usual.contextSize, Math.max(minContext, usual.minContext))
    return halves(usual.contextSize, minimum).map((contextSize) => ({ contextSize, slots }))
  }
  const needed = Math.min(minContext, usual.maxContext)
  const rounded = Math.min(usual.maxContext, 2 ** Math.ceil(Math.log2(needed)))
  const slotCounts = request.slots === undefined ? halves(slots, 1) : [slots]
  return [{ contextSize: rounded, slots }, ...slotCounts.map((slots) => ({ contextSize: needed, slots }))]
}

/** The memory of a worker: bytes at a shape, and bytes per token of context. */
export interface ShapeMemory {
  readonly bytes: number
  readonly shape: WorkerShape
  readonly tokenBytes: number
}

/** The memory of the worker at another shape, in bytes. */
export const shapeBytes = ({ bytes, shape, tokenBytes }: ShapeMemory, { contextSize, slots }: WorkerShape) =>
  bytes + (contextSize * slots - shape.contextSize * shape.slots) * tokenBytes

/** The usual shape of a model's worker on a hive. */
export const usualShape = (model: StoredModel): UsualShape => ({
  contextSize: model.worker_context,
  slots: model.worker_slots,
  minContext: model.worker_min_context ?? model.worker_context,
  maxContext: model.context_length
})

const isServing = ({ state }: HiveInventory["workers"][number]) => state === "ready" || state === "busy"

/**
 * The context length, in tokens, of a request for the model on a hive: that of the largest worker that serves the model,
 * else that of a worker started now.
 */
export const contextOn = ({ devices, workers }: Omit<HiveInventory, "models">, model: StoredModel) => {
  const serving = workers.filter((worker) => worker.model_id === model.id && isServing(worker))
  if (serving.length > 0) return Math.max(...serving.map(({ context_size }) => context_size))
  const usable = devices.filter(({ usable }) => usable)
  const gpus = usable.filter(({ device_type }) => device_type === "gpu")
  const free = Math.max(...(gpus.length > 0 ? gpus : usable).map(({ free_bytes }) => free_bytes))
  const usual = usualShape(model)
  const memory = { bytes: model.memory_bytes, shape: usual, tokenBytes: model.token_bytes }
  const shapes = shapesOf({}, usual)
  // If no device has enough free memory now, a worker may start later.
  const fitting = shapes.find((shape) => shapeBytes(memory, shape) <= free)
  return fitting?.contextSize ?? usual.contextSize
}
