import type { Capability } from "../../operation/Capabilities.ts"
import { shapeBytes, shapesOf, type WorkerShape } from "../../operation/WorkerShape.ts"
import { chooseEngine } from "./chooseEngine.ts"
import { type Candidate, type Decision, lacks, type WorkerUse } from "./decide.ts"
import {
  type DeviceView,
  type HiveView,
  isDevice,
  isServing,
  keyOf,
  type ModelView,
  namesKind,
  type WorkerView
} from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { LoadPlace, Rest } from "./LoadRests.ts"

/** What the placing of a worker looks at. */
export interface PlacementView {
  readonly hives: Iterable<HiveView>
  /** Free bytes of a device, with what is on its way there and what was just given back. */
  readonly freeBytes: (hive: HiveView, device: DeviceView) => number
  /** How a worker of a hive is used; those of which nothing is known, or that go already, are not touched. */
  readonly useOf: (worker: WorkerView) => WorkerUse | undefined
  /** Why nothing is loaded there for a while; nothing when it may be. */
  readonly restOf: (place: LoadPlace) => Rest | undefined
}

/** How a worker may be placed. */
export interface PlacementRules {
  /** Idle workers may go. */
  readonly mayEvict: boolean
  /** Busy workers may go too, when they have finished: somebody has waited for too long. */
  readonly mayDrain: boolean
  /** Only there; anywhere when it is not said. */
  readonly hive?: string | undefined
  /** A device's id, or an index; an index is that of a GPU where the hive has one. */
  readonly device?: string | undefined
  /** Tokens of one request, and requests at the same time; what is usual on the hive when it is not said. */
  readonly contextSize?: number | undefined
  /** Tokens that one request needs at least. */
  readonly minContext?: number | undefined
  readonly parallel?: number | undefined
  readonly engine?: string | undefined
  /** What the worker must be able to do. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
}

/** How large a worker may be, and the bytes that it takes then. */
interface Size {
  readonly bytes: number
  readonly shape?: WorkerShape | undefined
}

/** The sizes that a worker may have that is as the rules say, the best first. */
const sizesOf = (
  { memoryBytes, usual }: ModelView,
  { contextSize, minContext = 0, parallel }: PlacementRules
): readonly [Size, ...ReadonlyArray<Size>] => {
  const whole = { bytes: memoryBytes }
  if (usual === undefined) return [whole]
  const { longest = Number.POSITIVE_INFINITY, minContext: least = usual.contextSize, tokenBytes } = usual
  const shapes = shapesOf(
    { contextSize, minContext, slots: parallel },
    { contextSize: usual.contextSize, slots: usual.slots, minContext: least, maxContext: longest }
  )
  // A hive chooses among the usual sizes by itself, as it measures its memory.
  const isBound = contextSize === undefined && minContext > least
  const [best = whole, ...lesser] = shapes.map((shape) => ({
    bytes: shapeBytes({ bytes: memoryBytes, shape: usual, tokenBytes }, shape),
    shape: isBound ? shape : undefined
  }))
  return [best, ...lesser]
}

/** What has to go for a worker, and how large it is then; nothing when not enough may go. */
const makeRoom = (
  sizes: readonly [Size, ...ReadonlyArray<Size>],
  free: number,
  candidates: () => ReadonlyArray<WorkerUse>
) => {
  const fitting = sizes.find(({ bytes }) => bytes <= free)
  if (fitting !== undefined) return { size: fitting, victims: [] }
  // A smaller worker is better than one more that has to go.
  const victims = selectVictims(leastOf(sizes), free, candidates())
  if (victims === undefined) return undefined
  const room = victims.reduce((sum, { worker }) => sum + worker.memoryBytes, free)
  const size = sizes.find(({ bytes }) => bytes <= room)
  return size === undefined ? undefined : { size, victims }
}

const leastOf = (sizes: readonly [Size, ...ReadonlyArray<Size>]) =>
  sizes.reduce((least, { bytes }) => Math.min(least, bytes), sizes[0].bytes)

const assumedBytesPerMs = 500_000

/** What it costs to evict a worker: the time to load it again, less the longer nobody asked for it. */
const evictionCost = ({ usedAt, worker }: WorkerUse, now: number) =>
  worker.memoryBytes / assumedBytesPerMs / (1 + (now - usedAt) / 1000)

const selectVictims = (needed: number, free: number, victims: ReadonlyArray<WorkerUse>) => {
  let room = free
  const chosen: Array<WorkerUse> = []
  for (const victim of victims) {
    if (room >= needed) break
    chosen.push(victim)
    room += victim.worker.memoryBytes
  }
  if (room < needed) return undefined
  // What was taken first may be too little to matter once a large one had to go.
  return chosen.filter(({ worker }) => {
    if (room - worker.memoryBytes < needed) return true
    room -= worker.memoryBytes
    return false
  })
}

/** The workers of a device that may go, those first whose going costs the least. */
const evictionCandidates = (
  { workers }: HiveView,
  device: DeviceView,
  { useOf }: PlacementView,
  { mayDrain, mayEvict }: PlacementRules,
  now: number,
  { minResidency }: SchedulerLimits
) => {
  const victims: Array<WorkerUse> = []
  if (!mayEvict && !mayDrain) return victims
  for (const worker of workers) {
    if (worker.device !== device.id || !isServing(worker)) continue
    const use = useOf(worker)
    if (use === undefined || now - use.loadedAt < minResidency) continue
    if (use.running === 0 || mayDrain) victims.push(use)
  }
  return victims.sort(
    (left, right) =>
      Number(left.running > 0) - Number(right.running > 0) ||
      evictionCost(left, now) - evictionCost(right, now)
  )
}

/** Why a model never runs on a device of its hive, whatever goes; nothing when it may. */
const neverFits = (
  needed: number,
  hive: HiveView,
  device: DeviceView,
  rules: PlacementRules,
  canUse: (device: DeviceView) => boolean
) => {
  if (!canUse(device)) return "the hive's engine cannot compute on it"
  const hasGpu = hive.devices.some((device) => device.kind === "gpu" && canUse(device))
  if (!namesKind(rules.device) && hasGpu && device.kind === "cpu") return "the hive has a GPU"
  return needed > device.totalBytes
    ? `the model needs ${needed} bytes and the device has ${device.totalBytes}`
    : undefined
}

/**
 * Chooses the device for a worker of a model: on a hive that has the model's file, a GPU before a CPU, where it fits
 * without anything having to go before where something has to, and there where what goes is worth least. `look` is told
 * of each.
 */
export const placeWorker = (
  model: string,
  view: PlacementView,
  rules: PlacementRules,
  now: number,
  limits: SchedulerLimits,
  look?: (candidate: Candidate) => void
): Decision => {
  let best: Extract<Decision, { _tag: "Place" }> | undefined
  let bestScore = Number.POSITIVE_INFINITY
  let hasFile = false
  let couldFit = false
  const away: Array<HiveView> = []
  let hasToWait = false
  let failed: Rest | undefined
  let lacking: Capability | undefined
  for (const hive of view.hives) {
    if (rules.hive !== undefined && hive.id !== rules.hive) continue
    const file = hive.models.find(({ id }) => id === model)
    if (file === undefined) {
      look?.({ where: hive.id, rejection: "the model's file is not there" })
      continue
    }
    if (hive.away !== undefined) {
      look?.({ where: hive.id, rejection: `the hive is away: ${hive.away}` })
      away.push(hive)
      continue
    }
    hasFile = true
    const choice = chooseEngine(hive, file, rules)
    if (choice._tag === "Lacking") {
      lacking ??= choice.capability
      look?.({ where: hive.id, rejection: lacks(choice.capability) })
      continue
    }
    const sizes = sizesOf(file, rules)
    const needed = leastOf(sizes)
    for (const device of hive.devices) {
      if (rules.device !== undefined && !isDevice(rules.device, device.id)) continue
      const never = neverFits(needed, hive, device, rules, choice.canUse)
      if (never !== undefined) {
        look?.({ where: whereOf(hive, device), rejection: never })
        continue
      }
      couldFit = true
      const { revision } = file
      const { name: engine } = choice
      const place = { hive: hive.id, device: device.id, model, revision, engine, memoryBytes: needed }
      const rest = view.restOf(place)
      if (rest !== undefined) {
        if (rest.isFailure) failed ??= rest
        else hasToWait = true
        look?.({
          where: whereOf(hive, device),
          rejection: `a load there failed a moment ago: ${rest.reason}`
        })
        continue
      }
      const free = view.freeBytes(hive, device)
      const room = makeRoom(sizes, free, () => evictionCandidates(hive, device, view, rules, now, limits))
      if (room === undefined) {
        hasToWait = true
        const rejection = `the model needs ${needed} bytes, ${free} are free, and not enough may go now`
        look?.({ where: whereOf(hive, device), rejection })
        continue
      }
      const { size, victims } = room
      const score = scoreOf(device, free, victims, now)
      const evict = victims.map(({ worker }) => worker)
      look?.({ where: whereOf(hive, device), score, evict: evict.map(keyOf) })
      if (score >= bestScore) continue
      bestScore = score
      const { bytes: memoryBytes, shape } = size
      best = {
        _tag: "Place",
        hive: hive.id,
        device: device.id,
        memoryBytes,
        revision,
        engine,
        ...(shape === undefined ? {} : { shape }),
        evict
      }
    }
  }
  if (best !== undefined) return best
  if (!hasFile && away.length > 0) return { _tag: "Impossible", reason: awaySentence(away) }
  if (!hasFile) return { _tag: "Impossible", reason: "no hive that can be reached has the model's file" }
  if (!couldFit && lacking !== undefined) {
    return away.length > 0
      ? { _tag: "Impossible", reason: awaySentence(away) }
      : { _tag: "Incapable", capability: lacking }
  }
  if (!couldFit) return { _tag: "Impossible", reason: "it fits no device of the hives that have its file" }
  if (failed !== undefined && !hasToWait)
    return { _tag: "Failed", reason: failed.reason, until: failed.until }
  return { _tag: "Wait", reason: "no device has room for it now, and nothing may go yet" }
}

/** Says which hives have a model's file and are away, and why. */
const awaySentence = (hives: ReadonlyArray<HiveView>) => {
  const named = hives.slice(0, 5).map(({ away, id }) => `'${id}' (${away})`)
  return `its file is on ${hives.length === 1 ? "hive" : "hives"} ${named.join(", ")}, and no such hive answers; try again`
}

const whereOf = ({ id }: HiveView, device: DeviceView) => `${id}/${device.id}`

/** Less is better: anything that has to go is worse than any device where nothing has to; then the most room. */
const scoreOf = ({ kind }: DeviceView, free: number, victims: ReadonlyArray<WorkerUse>, now: number) => {
  const cost = victims.reduce((sum, victim) => sum + 1 + evictionCost(victim, now), 0)
  return (kind === "gpu" ? 0 : 1e9) + cost * 1e6 - Math.min(free / 1e9, 1e5)
}
