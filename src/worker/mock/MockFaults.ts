import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { MockMode } from "./MockMode.ts"

const ok: MockMode = { mode: "ok" }

/** The mode of a mock, and what it has done since it was set. */
export type MockReport = MockMode & {
  /** Requests that a fault could have hit. */
  readonly requests: number
  /** Those of them that a fault has hit. */
  readonly faults: number
}

/** The fault that a mock injects now, which can be replaced at any time. */
export class MockFaults extends Context.Service<
  MockFaults,
  {
    readonly mode: () => MockMode
    /** Replaces the mode for the following requests, and counts them from 0. */
    readonly set: (mode: MockMode) => void
    /** Counts a request; returns the mode in which it is answered: `flaky` hits only every n-th. */
    readonly next: () => MockMode
    readonly report: () => MockReport
  }
>()("rbee/worker/mock/MockFaults") {
  static readonly layer = (initial: MockMode) =>
    Layer.sync(MockFaults, () => {
      let mode = initial
      let requests = 0
      let faults = 0
      return MockFaults.of({
        mode: () => mode,
        set: (next) => {
          mode = next
          requests = 0
          faults = 0
        },
        next: () => {
          requests++
          if (mode.mode === "ok" || (mode.mode === "flaky" && requests % mode.every !== 0)) return ok
          faults++
          return mode
        },
        report: () => ({ ...mode, requests, faults })
      })
    })
}
