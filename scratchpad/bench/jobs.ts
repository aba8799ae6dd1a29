// Jobs per second of the queen's CPU time, from the first to the 20,000th job, and the usage of an idle queen.
// After `npm run build`: `node scratchpad/bench/jobs.ts [jobs] [idle seconds]`
import { agent, queenPort, request, startQueen, textOf, usageOf } from "./processes.ts"

const sections = 5
const concurrency = 8

const runJob = async () => {
  const submitted = await textOf(await request(queenPort, "POST", "/v1/jobs", `{"operation":"hive_list"}`))
  const { job_id } = JSON.parse(submitted)
  const events = await textOf(await request(queenPort, "GET", `/v1/jobs/${job_id}/events`))
  if (!events.includes("event: done")) throw new Error(events)
}

const main = async () => {
  const [jobs = "20000", idleSeconds = "60"] = process.argv.slice(2)
  const queen = await startQueen(1)
  const idle = usageOf(queen)
  await new Promise((resolve) => setTimeout(resolve, Number(idleSeconds) * 1000))
  const after = usageOf(queen)
  const share = (after.cpu - idle.cpu) / Number(idleSeconds) / 10_000
  console.log(`idle: ${share.toFixed(3)} % of a core, ${(after.rss / 1e6).toFixed(0)} MB`)

  const each = Math.floor(Number(jobs) / sections)
  for (let section = 0; section < sections; section++) {
    const before = usageOf(queen)
    let left = each
    const lane = async () => {
      while (left-- > 0) await runJob()
    }
    await Promise.all(Array.from({ length: concurrency }, lane))
    const { cpu, rss } = usageOf(queen)
    const perSecond = each / ((cpu - before.cpu) / 1e6)
    const upTo = (section + 1) * each
    console.log(`jobs up to ${upTo}: ${perSecond.toFixed(0)} a second of CPU, ${(rss / 1e6).toFixed(0)} MB`)
  }
  queen.kill()
  agent.destroy()
}

await main()
