// The speed of a large download from a server on this machine, compared with `curl -o` in the same run, and the memory that
// it uses in a process that is started like a hive: `node scratchpad/bench/download.ts [bytes]`.
import { execFileSync, fork } from "node:child_process"
import { once } from "node:events"
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Deferred, Effect, Layer } from "effect"
import { Fetcher } from "../../src/hive/download/Fetcher.ts"
import { Transfer } from "../../src/hive/download/Transfer.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { daemonFlags } from "../../src/system/Program.ts"
import { start } from "./processes.ts"

const port = 18_604
const rounds = 3
const [role = "", folder = "", bytes = "2000000000"] = process.argv.slice(2)
const size = Number(/^\d+$/.test(role) ? role : bytes)

const transfer = Transfer.layerNoDeps.pipe(
  Layer.provide(Fetcher.layerNoDeps),
  Layer.provide(Settings.layerDefaults()),
  Layer.provide(NodeServices.layer)
)

/** Fetches the file in this process on the message to start; reports the duration and the growth of memory. */
const fetch = Effect.gen(function* () {
  const { fetch } = yield* Transfer
  const url = `http://127.0.0.1:${port}/file`
  const file = { url, access: { mayBePrivate: true }, name: "file", size }
  const started = yield* Deferred.make<void>()
  process.once("message", () => Deferred.doneUnsafe(started, Effect.void))
  process.send?.("ready")
  yield* Deferred.await(started)
  const before = process.memoryUsage.rss()
  let peak = before
  const watching = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 20)
  const startedAt = performance.now()
  const cpuBefore = process.cpuUsage()
  yield* fetch(file, join(folder, "got"), join(folder, "incoming"), () => Effect.void)
  clearInterval(watching)
  const cpu = process.cpuUsage(cpuBefore)
  const seconds = (performance.now() - startedAt) / 1000
  process.send?.({ seconds, grew: peak - before, peak, cpu: cpu.user + cpu.system } satisfies Fetched)
  process.disconnect?.()
}).pipe(Effect.provide(transfer))

interface Fetched {
  readonly seconds: number
  readonly grew: number
  readonly peak: number
  readonly cpu: number
}

const write = (file: string) => {
  const bytes = Buffer.alloc(1024 * 1024)
  const open = openSync(file, "w")
  for (let left = size; left > 0; left -= bytes.length) {
    writeSync(open, bytes, 0, Math.min(left, bytes.length))
  }
  closeSync(open)
}

/**
 * Uses memory and frees it. A virtual machine returns memory that was free for some seconds to its host, and the next writer
 * of a file would have to wait for it.
 */
const warm = (place: string) => {
  const file = join(place, "warm")
  write(file)
  rmSync(file)
}

const fetched = async (place: string) => {
  const args = ["fetch", place, String(size)]
  const child = fork(import.meta.filename, args, { execArgv: [...daemonFlags] })
  await once(child, "message")
  warm(place)
  child.send("go")
  return new Promise<Fetched>((resolve) => child.once("message", (result: Fetched) => resolve(result)))
}

const compare = async () => {
  const place = mkdtempSync(join(tmpdir(), "rbee-bench-"))
  const { bavail, bsize } = statfsSync(place)
  if (bavail * bsize < size * 3)
    throw new Error(`${place} has less free space than three times ${size} bytes`)
  write(join(place, "file"))
  const child = await start(join(import.meta.dirname, "fileServer.ts"), join(place, "file"), String(port))
  try {
    for (let round = 0; round < rounds; round++) {
      const got = join(place, "got")
      warm(place)
      const startedAt = performance.now()
      execFileSync("curl", ["-s", "-o", got, `http://127.0.0.1:${port}/file`])
      const curl = (performance.now() - startedAt) / 1000
      rmSync(got)
      const ours = await fetched(place)
      rmSync(got)
      const speed = (seconds: number) => `${Math.round(size / seconds / 1e6)} MB/s`
      console.log(
        `curl ${speed(curl)}, rbee with its checksum ${speed(ours.seconds)} (${Math.round((curl / ours.seconds) * 100)} %), ` +
          `${Math.round(ours.grew / 1e6)} MB more memory at most (${Math.round(ours.peak / 1e6)} MB in all), ` +
          `${(ours.cpu / 1e6).toFixed(1)} s of CPU`
      )
    }
  } finally {
    child.kill()
    rmSync(place, { recursive: true, force: true })
  }
}

if (role === "fetch") NodeRuntime.runMain(fetch)
else await compare()
