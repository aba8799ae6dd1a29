import { defineConfig } from "vitest/config"

/** Folders of test/ whose tests need a build, other processes or much time; all others are unit tests. */
const others = ["integration", "e2e", "performance", "simulation"]

const project = (name: string, include: ReadonlyArray<string>, exclude: ReadonlyArray<string> = []) => ({
  test: { name, include: [...include], exclude: [...exclude], testTimeout: 30_000, hookTimeout: 60_000 }
})

export default defineConfig({
  test: {
    projects: [
      project(
        "unit",
        ["test/**/*.test.ts"],
        others.map((name) => `test/${name}/**`)
      ),
      ...others.map((name) => project(name, [`test/${name}/**/*.test.ts`]))
    ]
  }
})
