import { defineConfig } from "vitest/config"

/** Folders of test/ whose tests need a build, other processes or much time; all others are unit tests. */
const others = ["integration", "e2e", "performance", "simulation"]

const limits = { testTimeout: 30_000, hookTimeout: 60_000 }

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...limits,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: others.map((name) => `test/${name}/**`),
          // Two thirds of the time went into loading the same modules again for each file. Unit tests put back what they
          // change of their process.
          pool: "threads",
          isolate: false
        }
      },
      ...others.map((name) => ({
        test: {
          ...limits,
          name,
          include: [`test/${name}/**/*.test.ts`],
          globalSetup: "test/support/buildPrograms.ts"
        }
      }))
    ]
  }
})
