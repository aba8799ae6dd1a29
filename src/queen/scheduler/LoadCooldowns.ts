import type { LoadFault } from "./messages.ts"

/** A place where a model may be loaded, and how. */
export interface LoadPlace {
  readonly hive: string
  readonly device: string
  readonly model: string
  /** Identifies the model's file: a replaced file has no cooldown. */
  readonly revision?: string | undefined
  /** Absent: the hive's default engine. */
  readonly engine?: string | undefined
  readonly memoryBytes: number
}

/** A cooldown of a place. `isFailure`: a load failed there; false: the place only had no room. */
export interface Cooldown {
  readonly until: number
  readonly reason: string
  readonly isFailure: boolean
}

interface ModelCooldown extends Cooldown {
  readonly memoryBytes: number
}

const noRoomPause = 1_000
const hivePause = 1_000
/** Consecutive killed loads of a model that count as the model's own failure. */
const maxKilled = 3

const deviceKey = ({ device, hive }: LoadPlace) => `${hive}/${device}`
const modelKey = ({ engine = "", hive, model, revision = "" }: LoadPlace) =>
  JSON.stringify([hive, model, revision, engine])

/**
 * The cooldowns after failed loads. A model whose file or engine failed has one on that hive, for loads that need as much
 * memory or more. A failed hive has a short one for all models. A worker killed by another process is loaded again at once.
 */
export class LoadCooldowns {
  readonly #loadPause: number
  readonly #devices = new Map<string, Cooldown>()
  readonly #hives = new Map<string, Cooldown>()
  readonly #models = new Map<string, ModelCooldown>()
  readonly #killed = new Map<string, number>()

  constructor(loadPause: number) {
    this.#loadPause = loadPause
  }

  failed(place: LoadPlace, fault: LoadFault, reason: string, now: number) {
    switch (fault) {
      case "full":
        this.#devices.set(deviceKey(place), { until: now + noRoomPause, reason, isFailure: false })
        return
      case "hive":
        this.#hives.set(place.hive, { until: now + hivePause, reason, isFailure: true })
        return
      case "killed": {
        const killed = (this.#killed.get(modelKey(place)) ?? 0) + 1
        this.#killed.set(modelKey(place), killed)
        if (killed >= maxKilled) this.#coolDownModel(place, reason, now)
        return
      }
      case "model":
        this.#coolDownModel(place, reason, now)
    }
  }

  loaded(place: LoadPlace) {
    this.#models.delete(modelKey(place))
    this.#killed.delete(modelKey(place))
  }

  /** The cooldown of the place; undefined when a model may be loaded there. */
  of(place: LoadPlace, now: number): Cooldown | undefined {
    const model = this.#models.get(modelKey(place))
    const applies = model !== undefined && place.memoryBytes >= model.memoryBytes
    return [
      applies ? model : undefined,
      this.#hives.get(place.hive),
      this.#devices.get(deviceKey(place))
    ].find((cooldown) => cooldown !== undefined && cooldown.until > now)
  }

  tick(now: number) {
    for (const cooldowns of [this.#devices, this.#hives, this.#models]) {
      for (const [key, { until }] of cooldowns) if (until <= now) cooldowns.delete(key)
    }
  }

  #coolDownModel(place: LoadPlace, reason: string, now: number) {
    const { memoryBytes } = place
    this.#killed.delete(modelKey(place))
    this.#models.set(modelKey(place), {
      until: now + this.#loadPause,
      reason,
      isFailure: true,
      memoryBytes
    })
  }
}
