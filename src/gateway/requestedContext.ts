import type { HiveInventory, StoredModel } from "../operation/Inventory.ts"

type Device = HiveInventory["devices"][number]

/** The largest device that a worker of the hive may be placed on: a GPU where there is one. */
const roomOf = (devices: ReadonlyArray<Device>) => {
  const usable = devices.filter(({ usable }) => usable)
  const gpus = usable.filter(({ device_type }) => device_type === "gpu")
  return Math.max(0, ...(gpus.length > 0 ? gpus : usable).map(({ total_bytes }) => total_bytes))
}

/**
 * The context length that a worker must have for a request that asks for `asked` tokens: no more than the model was
 * trained for. Nothing where a usual worker has as many, or where no machine with the model could hold a larger one.
 */
export const requestedContext = (
  asked: number | undefined,
  { context_length, memory_bytes, token_bytes, worker_context, worker_slots }: StoredModel,
  machines: Iterable<ReadonlyArray<Device>>
): number | undefined => {
  const wanted = Math.min(asked ?? 0, context_length)
  if (wanted <= worker_context) return undefined
  const needed = memory_bytes + (wanted - worker_context) * worker_slots * token_bytes
  for (const devices of machines) if (roomOf(devices) >= needed) return wanted
  return undefined
}
