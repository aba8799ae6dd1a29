import type { World } from "../World.ts"

/** The workers of a device never need more memory than it has. */
export const devicesHoldTheirWorkers = (world: World, hiveIds: Iterable<string>) => {
  for (const id of hiveIds) {
    const hive = world.hive(id)
    if (hive === undefined) continue
    for (const device of hive.devices) {
      const used = device.bytes - device.foreign - world.free(hive, device)
      if (used > device.bytes) return `${id}/${device.id} has ${used} bytes of workers`
    }
  }
  return undefined
}
