import type { Capability } from "../../operation/Capabilities.ts"
import { chooseEngine, type EngineChoice } from "./chooseEngine.ts"
import { type Candidate, type Decision, missingCapabilityReason, type WorkerUse } from "./decide.ts"
import { evictionCandidates, evictionCost, type EvictionRules } from "./eviction.ts"
import {
  type DeviceView,
  type HiveView,
  isDevice,
  keyOf,
  type ModelView,
  includesKind,
  type WorkerView
} from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { Cooldown, LoadPlace } from "./LoadCooldowns.ts"
import { makeRoom, minBytes, type SizeRules, type WorkerSizes, workerSizes } from "./workerSizes.ts"

/** The state of the fleet that a placement considers. */
export interface PlacementView {
  readonly hives: Iterable<HiveView>
  /** Free bytes of a device, less those reserved for loading workers. */
  readonly freeBytes: (hive: HiveView, device: DeviceView) => number
  /** The use of a worker; undefined when unknown or while the worker is being evicted. */
  readonly useOf: (worker: WorkerView) => WorkerUse | undefined
  /** The cooldown of a place; undefined when the model may be loaded there. */
  readonly cooldownOf: (place: LoadPlace) => Cooldown | undefined
}

/** The constraints of a placement. */
export interface PlacementRules extends EvictionRules, SizeRules {
  /** Only this hive; absent: any. */
  readonly hive?: string | undefined
  /** A device's id, or an index; an index is that of a GPU where the hive has one. */
  readonly device?: string | undefined
  readonly engine?: string | undefined
  /** What the worker must be capable of. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
}

type Place = Extract<Decision, { _tag: "Place" }>

/** A model on a hive that can load it. */
interface HiveOption {
  readonly hive: HiveView
  readonly file: ModelView
  readonly engine: Extract<EngineChoice, { _tag: "Engine" }>
  readonly sizes: WorkerSizes
}

/** One search for a place: considers hives and devices one after the other and remembers the best and what was wrong. */
class PlacementSearch {
  #best: Place | undefined
  #bestScore = Number.POSITIVE_INFINITY
  #hasFile = false
  #couldFit = false
  #mustWait = false
  readonly #away: Array<HiveView> = []
  #failed: Cooldown | undefined
  #lacking: Capability | undefined
  readonly #model: string
  readonly #view: PlacementView
  readonly #rules: PlacementRules
  readonly #now: number
  readonly #minResidency: number
  readonly #onCandidate: ((candidate: Candidate) => void) | undefined

  constructor(
    model: string,
    view: PlacementView,
    rules: PlacementRules,
    now: number,
    minResidency: number,
    onCandidate: ((candidate: Candidate) => void) | undefined
  ) {
    this.#model = model
    this.#view = view
    this.#rules = rules
    this.#now = now
    this.#minResidency = minResidency
    this.#onCandidate = onCandidate
  }

  considerHive(hive: HiveView) {
    if (this.#rules.hive !== undefined && hive.id !== this.#rules.hive) return
    const file = hive.models.find(({ id }) => id === this.#model)
    if (file === undefined) return this.#reject(hive.id, "the model's file is not there")
    if (hive.away !== undefined) {
      this.#away.push(hive)
      return this.#reject(hive.id, `the hive is away: ${hive.away}`)
    }
    this.#hasFile = true
    const engine = chooseEngine(hive, file, this.#rules)
    if (engine._tag === "Lacking") {
      this.#lacking ??= engine.capability
      return this.#reject(hive.id, missingCapabilityReason(engine.capability))
    }
    const option = { hive, file, engine, sizes: workerSizes(file, this.#rules) }
    for (const device of hive.devices) {
      const { device: requested } = this.#rules
      if (requested === undefined || isDevice(requested, device.id)) this.#considerDevice(option, device)
    }
  }

  decision(): Decision {
    if (this.#best !== undefined) return this.#best
    if (!this.#hasFile && this.#away.length > 0) return this.#allAway()
    if (!this.#hasFile) return { _tag: "Impossible", reason: "no reachable hive has the model's file" }
    if (!this.#couldFit && this.#lacking !== undefined) {
      return this.#away.length > 0 ? this.#allAway() : { _tag: "Incapable", capability: this.#lacking }
    }
    if (!this.#couldFit) {
      return { _tag: "Impossible", reason: "it fits no device of the hives that have its file" }
    }
    if (this.#failed !== undefined && !this.#mustWait) {
      return { _tag: "Failed", reason: this.#failed.reason, until: this.#failed.until }
    }
    return {
      _tag: "Wait",
      reason: "no device has enough free memory, and no worker can be evicted yet"
    }
  }

  #considerDevice(option: HiveOption, device: DeviceView) {
    const { engine, file, hive, sizes } = option
    const where = `${hive.id}/${device.id}`
    const needed = minBytes(sizes)
    const never = neverFits(needed, hive, device, this.#rules, engine.canUse)
    if (never !== undefined) return this.#reject(where, never)
    this.#couldFit = true
    const cooldown = this.#view.cooldownOf({
      hive: hive.id,
      device: device.id,
      model: this.#model,
      revision: file.revision,
      engine: engine.name,
      memoryBytes: needed
    })
    if (cooldown !== undefined) {
      if (cooldown.isFailure) this.#failed ??= cooldown
      else this.#mustWait = true
      return this.#reject(where, `a recent load failed there: ${cooldown.reason}`)
    }
    this.#offer(option, device, where, needed)
  }

  #offer({ engine, file, hive, sizes }: HiveOption, device: DeviceView, where: string, needed: number) {
    const free = this.#view.freeBytes(hive, device)
    const room = makeRoom(sizes, free, () =>
      evictionCandidates(hive, device, this.#view.useOf, this.#rules, this.#now, this.#minResidency)
    )
    if (room === undefined) {
      this.#mustWait = true
      return this.#reject(where, `needs ${needed} bytes, ${free} free, and not enough can be evicted now`)
    }
    const { size, victims } = room
    const score = scoreOf(device, free, victims, this.#now)
    const evict = victims.map(({ worker }) => worker)
    this.#onCandidate?.({ where, score, evict: evict.map(keyOf) })
    if (score >= this.#bestScore) return
    this.#bestScore = score
    this.#best = {
      _tag: "Place",
      hive: hive.id,
      device: device.id,
      memoryBytes: size.bytes,
      revision: file.revision,
      engine: engine.name,
      ...(size.shape === undefined ? {} : { shape: size.shape }),
      evict
    }
  }

  #reject(where: string, rejection: string) {
    this.#onCandidate?.({ where, rejection })
  }

  #allAway(): Decision {
    return { _tag: "Impossible", reason: awaySentence(this.#away) }
  }
}

/** Why a model never runs on a device, whatever is evicted; undefined when it may. */
const neverFits = (
  needed: number,
  hive: HiveView,
  device: DeviceView,
  rules: PlacementRules,
  canUse: (device: DeviceView) => boolean
) => {
  if (!canUse(device)) return "the hive's engine cannot compute on it"
  const hasGpu = hive.devices.some((device) => device.kind === "gpu" && canUse(device))
  if (!includesKind(rules.device) && hasGpu && device.kind === "cpu") return "the hive has a GPU"
  return needed > device.totalBytes
    ? `the model needs ${needed} bytes and the device has ${device.totalBytes}`
    : undefined
}

const maxNamedHives = 5

const awaySentence = (hives: ReadonlyArray<HiveView>) => {
  const named = hives.slice(0, maxNamedHives).map(({ away, id }) => `'${id}' (${away})`)
  return `its file is on ${hives.length === 1 ? "hive" : "hives"} ${named.join(", ")}, and no such hive answers; try again`
}

/** Lower is better: a GPU before a CPU, then the lowest cost of evictions, then the most free memory. */
const scoreOf = ({ kind }: DeviceView, free: number, victims: ReadonlyArray<WorkerUse>, now: number) => {
  const cost = victims.reduce((sum, victim) => sum + 1 + evictionCost(victim, now), 0)
  return (kind === "gpu" ? 0 : 1e9) + cost * 1e6 - Math.min(free / 1e9, 1e5)
}

/**
 * Chooses the device for a worker of a model, on a hive that has the model's file: a GPU before a CPU, free memory before
 * evictions, cheap evictions before expensive ones. `onCandidate` gets each hive or device considered.
 */
export const placeWorker = (
  model: string,
  view: PlacementView,
  rules: PlacementRules,
  now: number,
  { minResidency }: SchedulerLimits,
  onCandidate?: (candidate: Candidate) => void
): Decision => {
  const search = new PlacementSearch(model, view, rules, now, minResidency, onCandidate)
  for (const hive of view.hives) search.considerHive(hive)
  return search.decision()
}
