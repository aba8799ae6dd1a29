import { shapeBytes, shapesOf, type WorkerShape } from "../../operation/WorkerShape.ts"
import type { WorkerUse } from "./decide.ts"
import { selectVictims } from "./eviction.ts"
import type { ModelView } from "./Fleet.ts"

/** A size that a worker may have, in bytes; `shape` is absent when its hive chooses the context length. */
export interface WorkerSize {
  readonly bytes: number
  readonly shape?: WorkerShape | undefined
}

export type WorkerSizes = readonly [WorkerSize, ...ReadonlyArray<WorkerSize>]

/** Context length and slots of a worker; absent: as usual on the hive. */
export interface SizeRules {
  readonly contextSize?: number | undefined
  /** The least tokens of one request. */
  readonly minContext?: number | undefined
  readonly parallel?: number | undefined
}

/** The sizes that a worker of the model may have, the best first. */
export const workerSizes = (
  { memoryBytes, usual }: ModelView,
  { contextSize, minContext = 0, parallel }: SizeRules
): WorkerSizes => {
  const only = { bytes: memoryBytes }
  if (usual === undefined) return [only]
  const { maxContext = Number.POSITIVE_INFINITY, minContext: least = usual.contextSize, tokenBytes } = usual
  const shapes = shapesOf(
    { contextSize, minContext, slots: parallel },
    { contextSize: usual.contextSize, slots: usual.slots, minContext: least, maxContext }
  )
  // A hive chooses among the usual sizes itself, by its measured memory.
  const isFixed = contextSize === undefined && minContext > least
  const [best = only, ...lesser] = shapes.map((shape) => ({
    bytes: shapeBytes({ bytes: memoryBytes, shape: usual, tokenBytes }, shape),
    shape: isFixed ? shape : undefined
  }))
  return [best, ...lesser]
}

export const minBytes = (sizes: WorkerSizes) =>
  sizes.reduce((least, { bytes }) => Math.min(least, bytes), sizes[0].bytes)

/** The workers to evict for a new worker, and the size that it then has; undefined when not enough can be evicted. */
export const makeRoom = (sizes: WorkerSizes, free: number, candidates: () => ReadonlyArray<WorkerUse>) => {
  const fitting = sizes.find(({ bytes }) => bytes <= free)
  if (fitting !== undefined) return { size: fitting, victims: [] }
  // A smaller worker is better than one more eviction.
  const victims = selectVictims(minBytes(sizes), free, candidates())
  if (victims === undefined) return undefined
  const room = victims.reduce((sum, { worker }) => sum + worker.memoryBytes, free)
  const size = sizes.find(({ bytes }) => bytes <= room)
  return size === undefined ? undefined : { size, victims }
}
