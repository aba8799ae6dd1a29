import type { HiveView, WorkerView } from "../../src/queen/scheduler/Fleet.ts"
import type { SchedulerLimits } from "../../src/queen/scheduler/limits.ts"
import type { QueuedRequest, Command, Outcome } from "../../src/queen/scheduler/messages.ts"
import { SchedulerCore } from "../../src/queen/scheduler/SchedulerCore.ts"

export const gib = 1024 ** 3

export const limits: SchedulerLimits = {
  queueLength: 4,
  imbalanceTokens: 1000,
  minResidency: 20_000,
  starvationBound: 30_000,
  scaleAfter: 5_000,
  idleTtl: 60_000,
  breakerFaults: 2,
  breakerPause: 10_000,
  loadPause: 10_000
}

export const worker = (id: string, changes: Partial<WorkerView> = {}): WorkerView => ({
  hive: "atlas",
  id,
  model: "m",
  state: "ready",
  engine: "llama",
  device: "gpu-0",
  slots: 2,
  contextSize: 4096,
  memoryBytes: 4 * gib,
  ...changes
})

export const hive = (changes: Partial<HiveView> & { readonly free?: number } = {}): HiveView => ({
  id: "atlas",
  devices: [
    {
      id: "gpu-0",
      kind: "gpu",
      totalBytes: 16 * gib,
      freeBytes: (changes.free ?? 16) * gib,
      usable: true
    }
  ],
  models: [
    { id: "m", memoryBytes: 4 * gib },
    { id: "n", memoryBytes: 10 * gib }
  ],
  workers: [],
  ...changes
})

/** A scheduler with a clock that a test moves, and what it ordered. */
export class Scheduling {
  readonly core: SchedulerCore
  now = 100_000

  constructor(...hives: ReadonlyArray<HiveView>) {
    this.core = new SchedulerCore(limits)
    this.fleet(...hives)
  }

  fleet(...hives: ReadonlyArray<HiveView>) {
    return this.core.handle({ _tag: "Fleet", hives }, this.now)
  }

  ask(id: string, changes: Partial<QueuedRequest> = {}) {
    const request: QueuedRequest = {
      id,
      model: "m",
      tokens: 100,
      prefixes: [],
      key: "",
      priority: 0,
      askedAt: this.now,
      deadline: this.now + 60_000,
      ...changes
    }
    return this.core.handle({ _tag: "Asked", request }, this.now)
  }

  end(id: string, outcome: Outcome = "ok") {
    return this.core.handle({ _tag: "Ended", id, outcome }, this.now)
  }

  tick(after: number) {
    this.now += after
    return this.core.handle({ _tag: "Tick" }, this.now)
  }
}

/** The orders in short: `run a on w1`, `load m on atlas/gpu-0`, … */
export const inShort = (orders: ReadonlyArray<Command>) =>
  orders.map((order) => {
    switch (order._tag) {
      case "Run":
        return `run ${order.id} on ${order.worker.id}`
      case "Waits":
        return `${order.id} waits in ${order.position}`
      case "Refuse":
        return `refuse ${order.id}: ${order.refusal._tag}`
      case "Load":
        return `load ${order.demand.model} on ${order.hive}/${order.device}`
      case "Delete":
        return `delete ${order.worker.id}`
    }
  })
