// The CPU time that the queen takes for small GETs: `node scratchpad/bench/gets.ts [requests]`. Build first.
import { queenPort, request, startQueen, textOf, usageOf } from "./processes.ts"

const requests = Number(process.argv[2] ?? 5000)
const paths = ["/v1/models", "/v1/build-info", "/health"]
const connections = 8

const load = (path: string) => {
  let left = requests
  const connection = async () => {
    while (left-- > 0) {
      const response = await request(queenPort, "GET", path)
      await textOf(response)
      if (response.statusCode !== 200) throw new Error(`${path} answered ${response.statusCode}`)
    }
  }
  return Promise.all(Array.from({ length: connections }, connection))
}

const queen = await startQueen(9)
for (const path of paths) await load(path)
for (const path of paths) {
  const before = usageOf(queen).cpu
  await load(path)
  console.log(`${path}: ${((usageOf(queen).cpu - before) / requests).toFixed(0)} µs of CPU a request`)
}
queen.kill("SIGTERM")
process.exit(0)
