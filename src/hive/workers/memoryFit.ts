import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { Narrate } from "../../job/withNarration.ts"
import { Device } from "../devices/Devices.ts"
import { checkFit, type ModelDoesNotFit } from "./Placement.ts"

/** The context and the slots of a worker, and the bytes that it takes with them. */
export interface SizedShape {
  readonly contextSize: number
  readonly parallel: number
  readonly memoryBytes: number
}

/** How the other workers use a device's memory. */
export interface MemoryUse {
  /** Bytes that workers will take which are still loading. */
  readonly reserved: (device: Device) => number
  /** Whether a worker has ended a moment ago, whose memory the system may not show as free yet. */
  readonly freedRecently: (device: Device) => boolean
}

const freeMemoryPolls = Schedule.spaced("200 millis").pipe(Schedule.upTo({ times: 25 }))

const check = (model: string, { memoryBytes }: SizedShape, device: Device, use: MemoryUse) =>
  checkFit(
    { id: model, memoryBytes },
    new Device({ ...device, free_bytes: Math.max(0, device.free_bytes - use.reserved(device)) })
  )

const firstThatFits = (
  model: string,
  shapes: ReadonlyArray<SizedShape>,
  device: Device,
  use: MemoryUse
): Effect.Effect<SizedShape, ModelDoesNotFit> =>
  Effect.firstSuccessOf(
    shapes.map((shape) => Effect.as(Effect.fromResult(check(model, shape, device, use)), shape))
  )

/**
 * The first of the shapes that fits the device's free memory. When the first shape does not fit and a worker has just
 * ended there, it waits up to 5 s for that memory. `measure` returns the device with its current free memory.
 */
export const fitShape = Effect.fnUntraced(function* (
  model: string,
  shapes: ReadonlyArray<SizedShape>,
  device: Device,
  measure: Effect.Effect<Device>,
  use: MemoryUse,
  narrate: Narrate
) {
  const [best] = shapes
  const isShort = best !== undefined && Result.isFailure(check(model, best, device, use))
  if (!isShort || !use.freedRecently(device)) return yield* firstThatFits(model, shapes, device, use)
  yield* narrate("place", `Waiting for freed memory on ${device.short}`)
  const room = Effect.flatMap(measure, (measured) => Effect.fromResult(check(model, best, measured, use)))
  yield* Effect.ignore(Effect.retry(room, freeMemoryPolls))
  return yield* firstThatFits(model, shapes, yield* measure, use)
})
