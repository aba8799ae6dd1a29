/** A worker is deleted once, without requests, and not before it has been loaded for the minimum residency. */
export const workerMayGo = (
  worker: string,
  state: {
    readonly isLeaving: boolean
    readonly running: number
    /** How long it has been loaded; undefined when it is gone. */
    readonly loadedFor: number | undefined
    readonly minResidency: number
  }
) => {
  if (state.running > 0) return `${worker} is deleted and works`
  if (state.isLeaving) return `${worker} is deleted twice`
  return state.loadedFor !== undefined && state.loadedFor < state.minResidency
    ? `${worker} is deleted ${state.loadedFor} ms after it was loaded`
    : undefined
}
