import * as Duration from "effect/Duration"
import type { Settings } from "../../settings/Settings.ts"

/** The limits of the scheduler. Times in milliseconds, sizes in tokens. */
export interface SchedulerLimits {
  /** Requests that may wait for one model. */
  readonly queueLength: number
  /** The largest difference between the outstanding tokens of two workers at which a cached prefix still counts. */
  readonly imbalanceTokens: number
  /** The least time between loading and evicting a worker. */
  readonly minResidency: number
  /** The waiting time after which a request comes before all others, and busy workers may be drained for it. */
  readonly starvationBound: number
  /** The waiting time after which another worker is started, if that needs no eviction. */
  readonly scaleAfter: number
  /** The idle time after which a worker that the scheduler started is stopped; infinity: never. */
  readonly idleTtl: number
  /** Consecutive faults that open a worker's circuit breaker. */
  readonly breakerFaults: number
  /** The time for which a circuit breaker stays open. */
  readonly breakerPause: number
  /** The cooldown of a model on a hive that failed to load it. */
  readonly loadPause: number
}

/** The limits from the settings. */
export const schedulerLimits = (settings: Settings["Service"]["scheduler"]): SchedulerLimits => ({
  queueLength: settings.queueLength,
  imbalanceTokens: settings.imbalanceTokens,
  minResidency: Duration.toMillis(settings.minResidency),
  starvationBound: Duration.toMillis(settings.starvationBound),
  scaleAfter: Duration.toMillis(settings.scaleAfter),
  idleTtl: Duration.toMillis(settings.idleTtl),
  breakerFaults: settings.breakerFaults,
  breakerPause: Duration.toMillis(settings.breakerPause),
  loadPause: Duration.toMillis(settings.loadPause)
})
