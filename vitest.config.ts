import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

// Tests bound the time of what they test; this ends what hangs, also on a machine that does more.
const limits = { testTimeout: 60_000, hookTimeout: 60_000 }

/** The other projects start programs, which are bundled first. */
const globalSetup = "test/support/buildPrograms.ts"

const folder = (name: string) => ({ ...limits, name, include: [`test/${name}/**/*.test.ts`], globalSetup })

/** Two thirds of the time went into loading the same modules again for each file; tests put back what they change. */
const shared = { isolate: false }

export default defineConfig({
  test: {
    // One file more than cores, because a file waits for the processes that it started for a third of its time.
    maxWorkers: availableParallelism() + 1,
    projects: [
      {
        test: {
          ...limits,
          ...shared,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["integration", "e2e", "matrix", "performance", "simulation", "fuzz"].map(
            (name) => `test/${name}/**`
          ),
          pool: "threads"
        }
      },
      { test: { ...folder("integration"), ...shared } },
      { test: folder("e2e") },
      { test: folder("matrix") },
      { test: folder("simulation") },
      { test: folder("fuzz") },
      // Alone on the machine and in a process of its own, because it measures them.
      { test: { ...folder("performance"), fileParallelism: false, sequence: { groupOrder: 1 } } }
    ]
  }
})
