import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const maxName = 32

/** The readable part of a worker's id: the last part of the model's id, in lower case. */
export const workerName = (model: string) => {
  const last = model.split(/[/:]/).findLast((part) => part !== "") ?? "model"
  const name = last
    .toLowerCase()
    .replace(/\.gguf$/, "")
    .replace(/[^a-z0-9.-]+/g, "-")
    .slice(0, maxName)
  return /^[a-z0-9]/.test(name) ? name : "model"
}

/** A random id that begins with the model's name. */
export const newWorkerId = (model: string) =>
  Effect.map(
    Random.nextIntBetween(0, 0x1000000),
    (number) => `${workerName(model)}-${number.toString(16).padStart(6, "0")}`
  )
