// The duration of scheduling decisions in a fleet of 1,000 workers with 200 models on 50 hives:
// `node scratchpad/bench/placement.ts`
import type { HiveView } from "../../src/queen/scheduler/Fleet.ts"
import type { Message } from "../../src/queen/scheduler/messages.ts"
import { type PlacementView, placeWorker } from "../../src/queen/scheduler/placeWorker.ts"
import { SchedulerCore } from "../../src/queen/scheduler/SchedulerCore.ts"

const gib = 1024 ** 3
const models = 200
const workers = 1000
const hives = 50
const rounds = 5000

const limits = {
  queueLength: 256,
  imbalanceTokens: 4096,
  minResidency: 20_000,
  starvationBound: 30_000,
  scaleAfter: 5_000,
  idleTtl: 1_800_000,
  breakerFaults: 3,
  breakerPause: 30_000,
  loadPause: 30_000
}

// Model 0 has its file on every hive and no worker: the scheduler must consider every hive and evict a worker.
const fleet: ReadonlyArray<HiveView> = Array.from({ length: hives }, (_, hive) => ({
  id: `hive-${hive}`,
  devices: Array.from({ length: 4 }, (_, device) => ({
    id: `gpu-${device}`,
    kind: "gpu" as const,
    totalBytes: 80 * gib,
    freeBytes: 5 * gib,
    usable: true
  })),
  models: Array.from({ length: models }, (_, model) => ({ id: `model-${model}`, memoryBytes: 15 * gib })),
  workers: Array.from({ length: workers / hives }, (_, index) => ({
    hive: `hive-${hive}`,
    id: `w-${hive}-${index}`,
    model: `model-${1 + ((hive * (workers / hives) + index) % (models - 1))}`,
    state: "ready",
    engine: "llama",
    device: `gpu-${index % 4}`,
    slots: 4,
    contextSize: 4096,
    memoryBytes: 15 * gib
  }))
}))

const show = (what: string, times: ReadonlyArray<number>) => {
  const sorted = [...times].sort((left, right) => left - right)
  const at = (share: number) => ((sorted[Math.floor(sorted.length * share)] ?? 0) * 1000).toFixed(0)
  process.stdout.write(`${what.padEnd(52)} median ${at(0.5)} µs, p99 ${at(0.99)} µs\n`)
}

const timed = (what: string, run: (round: number) => void) => {
  const times: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const from = performance.now()
    run(round)
    times.push(performance.now() - from)
  }
  show(what, times.slice(rounds / 10))
}

const core = new SchedulerCore(limits)
const now = 1_000_000
core.handle({ _tag: "Fleet", hives: fleet }, 0)
const requestFor = (id: string, model: string): Message => ({
  _tag: "Asked",
  request: {
    id,
    model,
    tokens: 500,
    prefixes: [],
    key: "",
    priority: 0,
    askedAt: now,
    deadline: now + 60_000
  }
})
const uses = new Map(
  fleet.flatMap(({ workers }) =>
    workers.map((worker) => [worker, { worker, running: 0, usedAt: now - 60_000, loadedAt: 0 }])
  )
)
const view: PlacementView = {
  hives: fleet,
  freeBytes: (_hive, { freeBytes }) => freeBytes,
  useOf: (worker) => uses.get(worker),
  cooldownOf: () => undefined
}
const wish = (model: string) => ({ model, tokens: 500, prefixes: [] })

const nothing = { mayEvict: true, mayDrain: false }
timed("placement of a model without a worker", () => placeWorker("model-0", view, nothing, now, limits))
timed("the same, explained", () => core.explain(wish("model-0"), now))
timed("which of its workers serves a request", (round) =>
  core.explain(wish(`model-${1 + (round % 199)}`), now)
)
timed("a request from its coming to its end", (round) => {
  core.handle(requestFor(`r${round}`, `model-${1 + (round % 199)}`), now)
  core.handle({ _tag: "Ended", id: `r${round}`, outcome: "ok" }, now)
})
timed("a tick with nobody waiting", () => core.handle({ _tag: "Tick" }, now))
timed("update of the complete fleet", () => core.handle({ _tag: "Fleet", hives: fleet }, now))
