import type { HiveInventory, StoredModel } from "./Inventory.ts"

/** How large a worker is: tokens that one request may have, and requests at the same time. */
export interface WorkerShape {
  readonly contextSize: number
  readonly slots: number
}

/** What is asked of a worker's size. */
export interface ShapeRequest {
  /** Exactly so many tokens for each request. */
  readonly contextSize?: number | undefined
  /** At least so many, and more where memory allows it. */
  readonly minContext?: number | undefined
  readonly slots?: number | undefined
}

/** What a worker is like that nobody asked anything of. */
export interface UsualShape extends WorkerShape {
  /** How far its context may shrink where memory is short. */
  readonly minContext: number
  /** What the model was trained for. */
  readonly longest: number
}

const halves = (from: number, least: number) => {
  const all: Array<number> = []
  for (let value = from; value > least; value = Math.floor(value / 2)) all.push(value)
  return [...all, least]
}

/**
 * The sizes that a worker may have, the best first: a shorter context where memory is short, and for a long prompt fewer
 * requests at the same time. A context for a long prompt is a power of two, so that a conversation can grow in it.
 */
export const shapesOf = (request: ShapeRequest, usual: UsualShape): ReadonlyArray<WorkerShape> => {
  const { contextSize, minContext = 0, slots = usual.slots } = request
  if (contextSize !== undefined) return [{ contextSize, slots }]
  if (minContext <= usual.contextSize) {
    const least = Math.min(usual.contextSize, Math.max(minContext, usual.minContext))
    return halves(usual.contextSize, least).map((contextSize) => ({ contextSize, slots }))
  }
  const needed = Math.min(minContext, usual.longest)
  const roomy = Math.min(usual.longest, 2 ** Math.ceil(Math.log2(needed)))
  const fewer = request.slots === undefined ? halves(slots, 1) : [slots]
  return [{ contextSize: roomy, slots }, ...fewer.map((slots) => ({ contextSize: needed, slots }))]
}

/** What a worker of a model takes, in bytes, and of what shape. */
export interface ShapeMemory {
  readonly bytes: number
  readonly shape: WorkerShape
  readonly tokenBytes: number
}

/** Bytes that a worker of another shape takes. */
export const shapeBytes = ({ bytes, shape, tokenBytes }: ShapeMemory, { contextSize, slots }: WorkerShape) =>
  bytes + (contextSize * slots - shape.contextSize * shape.slots) * tokenBytes

/** The usual shape of a model's worker on a hive. */
export const usualShape = (model: StoredModel): UsualShape => ({
  contextSize: model.worker_context,
  slots: model.worker_slots,
  minContext: model.worker_min_context ?? model.worker_context,
  longest: model.context_length
})

const isServing = ({ state }: HiveInventory["workers"][number]) => state === "ready" || state === "busy"

/**
 * Tokens that a request for the model may have on a hive: those of the largest worker that serves it, or of the one that
 * would be started now.
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
  // Without a device, or with none that has room now, a worker may start later.
  const fitting = shapes.find((shape) => shapeBytes(memory, shape) <= free)
  return fitting?.contextSize ?? usual.contextSize
}
