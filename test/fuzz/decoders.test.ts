import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, FileSystem, Layer, Logger, Path, Result, Stream } from "effect"
import { Gguf } from "../../src/hive/gguf/Gguf.ts"
import { parseHeader } from "../../src/hive/gguf/GgufHeader.ts"
import { put, remove } from "../../src/hives/HivesConfEdit.ts"
import { parseHivesConf } from "../../src/hives/HivesConfFormat.ts"
import type { SseEvent } from "../../src/http/SseParser.ts"
import { readSse } from "../../src/http/SseReader.ts"
import { builtIn, makeDecoder, readRequest } from "../../src/operation/Catalog.ts"
import { isTooDeep } from "../../src/operation/nesting.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { anyJson, fuzz, fuzzTimeout, mutated } from "../support/fuzz.ts"
import { smallModel, writeGguf } from "../support/ggufWriter.ts"
import type { Random } from "../support/Random.ts"

const streams = [
  ": comment\n\n",
  'id: 1\nevent: token\ndata: {"text":"a"}\n\n',
  "data: one\ndata: two\n\n",
  "data:x\r\n\r\n",
  "event: done\rdata: {}\r\r",
  "data\n\nid\nretry: 5\n\n",
  'error: {"message":"ä€😀"}\n\n'
]

const read = (chunks: ReadonlyArray<Uint8Array>) =>
  Stream.runCollect(
    readSse<SseEvent, never, string>(Stream.fromIterable(chunks), {
      maxEventSize: 10_000,
      map: ({ data, event, id }) => ({ data, event, id }),
      failed: () => "failed",
      tooLarge: () => "too large",
      brokenOff: () => undefined
    })
  ).pipe(Effect.result)

const split = (bytes: Uint8Array, random: Random) => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const end = at + random.whole(1, 9)
    chunks.push(bytes.subarray(at, end))
    at = end
  }
  return chunks
}

const memoryFile = (bytes: Uint8Array, position: number, length: number) =>
  bytes.subarray(position, position + length)

const model = writeGguf(smallModel)

/** The model with some bytes changed, or cut off. */
const brokenModel = (random: Random) => {
  const bytes = Buffer.from(
    model.subarray(0, random.chance(0.2) ? random.whole(0, model.length) : model.length)
  )
  for (let left = random.whole(0, 6); left > 0 && bytes.length > 0; left--) {
    // The header is the first part; the rest are weights.
    const at = random.whole(0, Math.min(bytes.length, 420) - 1)
    bytes[at] = random.pick([0, 1, 8, 9, 127, 128, 255, random.whole(0, 255)])
  }
  return bytes
}

const operations = [...builtIn.keys()].map((name) =>
  JSON.stringify({
    operation: name,
    hive_id: "auto",
    alias: "atlas",
    model: "rbee:tiny",
    id: "w-1",
    prompt: "a",
    max_tokens: 5,
    temperature: 0.5,
    worker: "cpu",
    device: 0,
    api: "completions",
    body: { prompt: "a" }
  })
)

const decoders = new Map([...builtIn].map(([name, operation]) => [name, makeDecoder(operation)]))

const hives = [
  "Host atlas\n  HostName 10.0.0.1\n  User me\n  HivePort 8081\n",
  "Host a b\n\tHostName=h\n\tPort 2222\n\tUser u\n\tHivePort 1\n\tBinaryPath /opt/rbee\n",
  "# comment\n\nHost *\n  User nobody\n"
]

const toml = [
  '[queen]\nhost = "127.0.0.1"\nport = 3000\n',
  '[timeouts]\nidle = "5s"\ntotal = "off"\n[limits]\nbody_bytes = 1000\n',
  '[engines.mine]\ncommand = ["a", "{port}"]\nbackends = ["cuda"]\n[aliases.fast]\nmodel = "rbee:tiny"\n',
  "allowed_origins = [\"http://a\"]\n[[x]]\ny = 1979-05-27T07:32:00Z\nz = '''\na'''\n"
]

const settingsOf = (text: string) =>
  Effect.provide(
    Effect.result(Settings),
    Settings.layer.pipe(
      Layer.provide([
        Paths.layerAt("/nowhere"),
        Path.layer,
        FileSystem.layerNoop({ readFileString: () => Effect.succeed(text) }),
        ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} }))
      ])
    )
  ).pipe(Effect.result, Effect.provide(Logger.layer([])))

describe("decoders", () => {
  it.live(
    "Server-Sent Events are the same wherever their bytes are split",
    () =>
      fuzz("Server-Sent Events", 20_000, (random) =>
        Effect.gen(function* () {
          const text = Array.from({ length: random.whole(1, 3) }, () => mutated(random, streams)).join("")
          const bytes = new TextEncoder().encode(text)
          const whole = yield* read([bytes])
          const single = yield* read(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))
          assert.deepStrictEqual(single, whole)
          assert.deepStrictEqual(yield* read(split(bytes, random)), whole)
        })
      ),
    fuzzTimeout
  )

  it.live(
    "operations are decoded or refused with the field",
    () =>
      fuzz("operations", 40_000, (random) =>
        Effect.sync(() => {
          const fields = JSON.parse(random.pick(operations))
          const names = Object.keys(fields)
          for (let left = random.whole(0, 3); left > 0; left--) fields[random.pick(names)] = anyJson(random)
          const json = random.chance(0.5) ? JSON.stringify(fields) : mutated(random, operations)
          const request = readRequest(json)
          if (Result.isFailure(request)) {
            assert.isNotEmpty(request.failure.problems)
            return
          }
          if (isTooDeep(json)) return
          const decoded = decoders.get(request.success.name)?.(request.success.fields)
          if (decoded === undefined || Result.isSuccess(decoded)) return
          assert.strictEqual(decoded.failure._tag, "InvalidOperation")
          assert.isNotEmpty(decoded.failure.message)
        })
      ),
    fuzzTimeout
  )

  it.live(
    "hives.conf is read or refused, and edits keep it readable",
    () =>
      fuzz("hives.conf", 20_000, (random) =>
        Effect.sync(() => {
          const text = Array.from({ length: random.whole(1, 3) }, () => mutated(random, hives)).join("")
          const parsed = parseHivesConf(text, "hives.conf")
          if (Result.isFailure(parsed)) {
            assert.isAbove(parsed.failure.line, 0)
            return
          }
          const entry = { aliases: ["added"], hostName: "h", port: 22, user: "u", hivePort: 8081 }
          const added = Result.getOrThrow(parseHivesConf(put(text, entry), "hives.conf"))
          assert.isTrue(added.some(({ aliases }) => aliases.includes("added")))
          for (const { aliases } of parsed.success) {
            const [alias = ""] = aliases
            const rest = Result.getOrThrow(parseHivesConf(remove(text, alias), "hives.conf"))
            assert.isFalse(rest.some(({ aliases }) => aliases.includes(alias)))
          }
        })
      ),
    fuzzTimeout
  )

  it.live(
    "config.toml is read or refused with a typed error",
    () =>
      fuzz("config.toml", 1000, (random) =>
        Effect.gen(function* () {
          const text = Array.from({ length: random.whole(1, 3) }, () => mutated(random, toml)).join("\n")
          const settings = yield* settingsOf(text)
          if (Result.isFailure(settings)) assert.isNotEmpty(settings.failure.message)
        })
      ),
    fuzzTimeout
  )

  it.live(
    "the header of a GGUF file is read or refused, within its limits",
    () =>
      fuzz("GGUF header", 20_000, (random) =>
        Effect.sync(() => {
          const bytes = brokenModel(random)
          const parsing = parseHeader(bytes.length)
          let total = 0
          let step = parsing.next()
          while (step.done !== true) {
            if (step.value._tag === "Refuse") {
              assert.isNotEmpty(step.value.reason)
              return
            }
            const { length, position } = step.value
            total += length
            assert.isAtMost(total, 64 * 1024 * 1024)
            step = parsing.next(memoryFile(bytes, position, length))
          }
        })
      ),
    fuzzTimeout
  )

  it.live(
    "a GGUF file is a model or refused with a typed error",
    () =>
      Effect.acquireUseRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "rbee-fuzz-"))),
        (folder) =>
          fuzz("GGUF file", 500, (random) =>
            Effect.gen(function* () {
              const file = join(folder, "model.gguf")
              writeFileSync(file, brokenModel(random))
              const read = yield* Effect.result(Gguf.read(file))
              if (Result.isFailure(read)) return assert.strictEqual(read.failure._tag, "GgufError")
              const { contextLength } = read.success
              assert.isTrue(Number.isSafeInteger(read.success.memoryBytes(contextLength)))
            })
          ).pipe(Effect.provide(NodeServices.layer)),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      ),
    fuzzTimeout
  )
})
