/** What the scheduler is bound by. Times in milliseconds, sizes in tokens. */
export interface SchedulerLimits {
  /** How many requests may wait for one model. */
  readonly queueLength: number
  /** How far apart the loads of two workers may be before a shared prefix counts no more. */
  readonly imbalanceTokens: number
  /** How long a worker stays at least, once it is loaded. */
  readonly minResidency: number
  /** After this time of waiting a request goes before all others, and a busy worker may have to go for a cold load. */
  readonly starvationBound: number
  /** After this time of waiting a second worker is started, if there is room without evicting another. */
  readonly scaleAfter: number
  /** After this time without a request a worker that the scheduler started goes; infinity is off. */
  readonly idleTtl: number
  /** Failures in a row after which a worker gets no requests for a while. */
  readonly breakerFaults: number
  /** For how long. */
  readonly breakerPause: number
  /** How long a model gets no second try on a hive that failed to load it. */
  readonly loadPause: number
}
