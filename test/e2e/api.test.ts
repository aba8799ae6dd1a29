import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { apiReport, reportFile } from "../support/apiReport.ts"

it("the public API is the one that was reviewed; after a change of it run `npm run api` and review the difference", () => {
  assert.strictEqual(apiReport(), readFileSync(reportFile, "utf8"))
}, 120_000)
