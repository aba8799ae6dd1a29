/** How a process ended; both absent when the system does not report it. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
}

/** Signals that end a process from outside; a crash of its own has others. */
const outsideSignals: ReadonlySet<string> = new Set(["SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM"])

/** Exit codes of programs that end in order on such a signal: zero, or 128 and the signal's number. */
const outsideCodes: ReadonlySet<number> = new Set([0, 129, 130, 131, 137, 143])

/** The exit as the reason of a `WorkerFailed`. */
export const exitSentence = ({ code, signal }: ProcessExit) => {
  if (signal !== null) return `its process was ended by ${signal}`
  return code === null ? "its process ended" : `its process ended with code ${code}`
}

/** Whether the process was ended from outside, which says nothing about its model. */
export const isKilled = ({ code, signal }: ProcessExit) =>
  (signal !== null && outsideSignals.has(signal)) || (code !== null && outsideCodes.has(code))
