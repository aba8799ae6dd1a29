// Runs the fuzz tests for a while: `npm run fuzz -- --minutes 60`. A seed that fails is kept in test/fuzz/seeds.json.
import { spawnSync } from "node:child_process"
import { parseArgs } from "node:util"

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" } } })
const minutes = Number(values.minutes)
if (!Number.isFinite(minutes) || minutes <= 0) {
  process.stderr.write(`--minutes must be a positive number, got '${values.minutes}'\n`)
  process.exit(2)
}

/** Targets that run one after the other; see `test/fuzz`. */
const targets = 9
const env = { ...process.env, RBEE_FUZZ_SECONDS: String((minutes * 60) / targets) }
const { status } = spawnSync("vitest", ["run", "--project", "fuzz", "--no-file-parallelism"], {
  env,
  stdio: "inherit"
})
process.exit(status ?? 1)
