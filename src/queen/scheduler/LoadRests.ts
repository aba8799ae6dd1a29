import type { LoadFault } from "./messages.ts"

/** Where a model would be loaded, and how. */
export interface LoadPlace {
  readonly hive: string
  readonly device: string
  readonly model: string
  /** Which file of the model: another one that replaces it is not at rest. */
  readonly revision?: string | undefined
  /** The hive's default engine when it is not said. */
  readonly engine?: string | undefined
  readonly memoryBytes: number
}

/** Why nothing is loaded at a place now. `isFailure`: a load failed there; else there is only no room at the moment. */
export interface Rest {
  readonly until: number
  readonly reason: string
  readonly isFailure: boolean
}

interface ModelRest extends Rest {
  readonly memoryBytes: number
}

const noRoomPause = 1_000
const hivePause = 1_000
/** Loads of a model that may be killed one after the other before that counts as the model's own failure. */
const maxKilled = 3

const deviceKey = ({ device, hive }: LoadPlace) => `${hive}/${device}`
const modelKey = ({ engine = "", hive, model, revision = "" }: LoadPlace) =>
  JSON.stringify([hive, model, revision, engine])

/**
 * Where nothing is loaded for a while, because a load failed there. A model whose file or engine fails rests on that hive
 * only, for loads that need as much memory or more; a hive that fails rests for a moment with all its models; a worker
 * that was killed from outside is loaded again at once.
 */
export class LoadRests {
  readonly #loadPause: number
  readonly #devices = new Map<string, Rest>()
  readonly #hives = new Map<string, Rest>()
  readonly #models = new Map<string, ModelRest>()
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
        if (killed >= maxKilled) this.#restModel(place, reason, now)
        return
      }
      case "model":
        this.#restModel(place, reason, now)
    }
  }

  loaded(place: LoadPlace) {
    this.#models.delete(modelKey(place))
    this.#killed.delete(modelKey(place))
  }

  /** Why nothing is to be loaded at the place now; nothing when it may be. */
  of(place: LoadPlace, now: number): Rest | undefined {
    const model = this.#models.get(modelKey(place))
    const applies = model !== undefined && place.memoryBytes >= model.memoryBytes
    return [
      applies ? model : undefined,
      this.#hives.get(place.hive),
      this.#devices.get(deviceKey(place))
    ].find((rest) => rest !== undefined && rest.until > now)
  }

  tick(now: number) {
    for (const isCoolingDown of [this.#devices, this.#hives, this.#models]) {
      for (const [key, { until }] of isCoolingDown) if (until <= now) isCoolingDown.delete(key)
    }
  }

  #restModel(place: LoadPlace, reason: string, now: number) {
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
