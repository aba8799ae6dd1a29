import type { HiveInventory } from "../../operation/Inventory.ts"
import { usualShape } from "../../operation/WorkerShape.ts"
import type { HiveView, WorkerView } from "./Fleet.ts"
import type { HiveSnapshot } from "./HiveSnapshot.ts"

// Capabilities name devices in capitals, operations and settings in lower case.
const shortName = (device: string) => device.toLowerCase()

/** A worker of a hive's inventory as the scheduler sees it. */
export const workerView = (hive: string, worker: HiveInventory["workers"][number]): WorkerView => ({
  hive,
  id: worker.worker_id,
  model: worker.model_id,
  state: worker.state,
  engine: worker.engine,
  device: shortName(worker.device),
  slots: worker.slots,
  contextSize: worker.context_size,
  memoryBytes: worker.memory_bytes,
  capabilities: worker.capabilities
})

/** A hive's inventory as the scheduler sees it. */
export const hiveView = ({
  away,
  hive,
  inventory: { devices, engines, models, workers }
}: HiveSnapshot): HiveView => ({
  id: hive,
  away,
  devices: devices.map(({ device_type, free_bytes, id, total_bytes, usable }) => ({
    id: shortName(id),
    kind: device_type,
    totalBytes: total_bytes,
    freeBytes: free_bytes,
    usable
  })),
  engineDevices:
    engines === undefined
      ? undefined
      : new Map(engines.map(({ devices, name }) => [name, devices.map(shortName)])),
  models: models.map((model) => ({
    id: model.id,
    engines: model.engines,
    revision: JSON.stringify([model.size_bytes, model.sha256, model.downloaded_at]),
    memoryBytes: model.memory_bytes,
    usual: { ...usualShape(model), tokenBytes: model.token_bytes }
  })),
  workers: workers.map((worker) => workerView(hive, worker))
})
