import type { HiveView, WorkerView } from "../../src/queen/scheduler/Fleet.ts"
import type { Random } from "../support/Random.ts"

const gib = 1024 ** 3

export interface Model {
  readonly id: string
  readonly bytes: number
}

export interface Device {
  readonly id: string
  readonly kind: "gpu" | "cpu"
  readonly bytes: number
  /** Taken by something that is no worker. */
  foreign: number
  /** Taken by workers that are loading. */
  loading: number
}

export interface Worker {
  readonly id: string
  readonly model: string
  readonly device: Device
  readonly bytes: number
  readonly slots: number
  readonly contextSize: number
  readonly loadedAt: number
  /** The requests that it works on, and what happens to them if it dies. */
  readonly busy: Map<string, () => void>
}

export interface Hive {
  readonly id: string
  readonly devices: ReadonlyArray<Device>
  readonly files: ReadonlyArray<Model>
  readonly workers: Map<string, Worker>
  up: boolean
  /** How often it came back: what was begun before is lost. */
  lives: number
}

/** A fleet of invented hives. */
export class World {
  readonly models: ReadonlyArray<Model>
  readonly hives: ReadonlyArray<Hive>
  #workers = 0

  constructor(random: Random) {
    this.models = Array.from({ length: random.whole(1, 6) }, (_, index) => ({
      id: `model-${index}`,
      bytes: random.whole(2, 30) * gib
    }))
    this.hives = Array.from({ length: random.whole(1, 4) }, (_, index) => ({
      id: `hive-${index}`,
      devices: Array.from({ length: random.whole(1, 3) }, (_, device) => ({
        id: `gpu-${device}`,
        kind: random.chance(0.8) ? ("gpu" as const) : ("cpu" as const),
        bytes: random.whole(8, 48) * gib,
        foreign: 0,
        loading: 0
      })),
      files: this.models.filter(() => random.chance(0.7)),
      workers: new Map<string, Worker>(),
      up: true,
      lives: 0
    }))
  }

  hive(id: string) {
    return this.hives.find((hive) => hive.id === id)
  }

  worker({ hive, id }: Pick<WorkerView, "hive" | "id">) {
    return this.hive(hive)?.workers.get(id)
  }

  free(hive: Hive, device: Device) {
    let free = device.bytes - device.foreign - device.loading
    for (const worker of hive.workers.values()) if (worker.device === device) free -= worker.bytes
    return free
  }

  add(hive: Hive, worker: Omit<Worker, "busy" | "id">): Worker {
    const added = { ...worker, id: `w${this.#workers++}`, busy: new Map<string, () => void>() }
    hive.workers.set(added.id, added)
    return added
  }

  viewOf(hive: Hive, { bytes, contextSize, device, id, model, slots, busy }: Worker): WorkerView {
    return {
      hive: hive.id,
      id,
      model,
      state: busy.size > 0 ? "busy" : "ready",
      engine: "llama",
      device: device.id,
      slots,
      contextSize,
      memoryBytes: bytes
    }
  }

  /** What a queen sees of it now. */
  snapshot(): ReadonlyArray<HiveView> {
    return this.hives
      .filter(({ up }) => up)
      .map((hive) => ({
        id: hive.id,
        devices: hive.devices.map((device) => ({
          id: device.id,
          kind: device.kind,
          totalBytes: device.bytes,
          freeBytes: Math.max(0, this.free(hive, device)),
          usable: true
        })),
        models: hive.files.map(({ bytes, id }) => ({ id, memoryBytes: bytes })),
        workers: [...hive.workers.values()].map((worker) => this.viewOf(hive, worker))
      }))
  }
}
