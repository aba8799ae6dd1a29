import * as Predicate from "effect/Predicate"
import type { ServedModel } from "../../gateway/upstream/Upstream.ts"
import type { OperationRequest } from "../../operation/Catalog.ts"
import { modelRequirements } from "./modelRequirements.ts"

type Fields = OperationRequest["fields"]

const gpuKinds = new Set(["gpu", "cuda", "metal", "vulkan", "rocm"])

/** The value if it is a text. */
export const textOf = (value: unknown) => (typeof value === "string" ? value : undefined)

const numberOf = (value: unknown) => (typeof value === "number" ? value : undefined)

/** The device that the fields `worker` and `device` name, as an id or an index; undefined: the hive chooses. */
export const requestedDevice = ({ device, worker }: Fields) => {
  const kind = textOf(worker)?.toLowerCase() ?? "auto"
  if (/^(?:cpu|gpu)-\d+$/.test(kind)) return kind
  if (kind === "cpu") return "cpu-0"
  const index = numberOf(device)
  if (gpuKinds.has(kind)) return `gpu-${index ?? 0}`
  return index === undefined ? undefined : String(index)
}

/** The requirements of an operation that generates on a worker, `infer` or `complete`. */
export const generationRequirements = (model: ServedModel, fields: Fields) => {
  const { body, device, max_tokens, prompt } = fields
  const requirements = modelRequirements(
    model,
    textOf(prompt) ?? JSON.stringify(body ?? ""),
    Predicate.isReadonlyObject(body) ? body : { max_tokens }
  )
  // Here `device` may also be a kind or an id, which `worker_spawn` has in `worker`.
  const requested = requestedDevice(typeof device === "string" ? { worker: device } : { device })
  return { ...requirements, device: requested ?? requirements.device }
}

/** The requirements of an operation that starts a worker, `worker_spawn`. */
export const spawnRequirements = (model: ServedModel, fields: Fields) => ({
  ...modelRequirements(model, "", {}),
  device: requestedDevice(fields),
  contextSize: numberOf(fields["ctx_size"]),
  parallel: numberOf(fields["parallel"])
})
