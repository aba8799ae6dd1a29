/** What there is of things that come and go, counted. */
export interface Remains {
  readonly fibers: number
  readonly connections: number
  /** Jobs that have not ended. */
  readonly jobs: number
  /** Work of hives that has not ended. */
  readonly executions: number
  /** Permits of daemons that no job holds. */
  readonly permits: number
}

/** After the last request, all is as before the first. */
export const nothingRemains = (before: Remains, after: Remains) => {
  const [was, is] = [JSON.stringify(before), JSON.stringify(after)]
  return was === is ? undefined : `before the first request there was ${was}, after the last there is ${is}`
}
