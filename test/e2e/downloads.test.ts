import { createHash } from "node:crypto"
import { copyFileSync, createReadStream, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream } from "effect"
import { bigModel, bigModelHub } from "../support/bigModel.ts"
import { Client, failureOf, narrationOf, resultOf, spawnTiny, withHive, workerOf } from "../support/hive.ts"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const download = { operation: "model_download", hive_id: "test", model: "acme/big" }
const progressOf = (events: ReadonlyArray<{ kind: string; json: string }>) =>
  events.filter(({ kind }) => kind === "progress").map(({ json }) => JSON.parse(json))

describe("downloads by a hive", () => {
  it.live("runs one download for two requests, both with progress, and lists the complete model", () =>
    Effect.gen(function* () {
      const model = bigModel(5_000_000)
      let allowed = 2_000_000
      const hub = yield* bigModelHub(model, () => allowed)
      yield* Effect.gen(function* () {
        const client = yield* Client
        const list = Effect.map(client.events({ operation: "model_list", hive_id: "test" }), (events) =>
          JSON.parse(resultOf(events)).models.map(({ id }: { id: string }) => id)
        )
        const first = yield* client.submit(download)
        const second = yield* client.submit({ ...download, model: "hf:acme/big:Q8_0" })
        yield* until(Effect.sync(hub.sent), (sent) => sent >= 2_000_000)
        let told = 0
        const noted = (id: string) =>
          Stream.tap(client.follow(id), ({ kind }) =>
            Effect.sync(() => (told += Number(kind === "progress")))
          )
        const both = yield* Effect.forkChild(
          Effect.forEach([first, second], (id) => Stream.runCollect(noted(id)), { concurrency: 2 })
        )
        assert.deepStrictEqual(yield* list, ["rbee:tiny"])
        // Twice to each of them.
        yield* until(
          Effect.sync(() => told),
          (count) => count >= 4
        )
        allowed = Number.MAX_SAFE_INTEGER
        const [one = [], other = []] = yield* Fiber.join(both)
        for (const events of [one, other]) {
          const record = JSON.parse(resultOf(events))
          assert.deepInclude(record, { id: record.id, size_bytes: 5_000_000, sha256: model.sha256 })
          const progress = progressOf(events)
          assert.isAtLeast(progress.length, 3)
          assert.deepInclude(progress.at(-1), {
            stage: "download",
            current: 5_000_000,
            total: 5_000_000,
            unit: "bytes"
          })
          assert.isTrue(progress.every(({ current }, i) => i === 0 || current >= progress[i - 1].current))
          assert.isUndefined(progress[0].eta_ms)
        }
        assert.include(narrationOf(one) + narrationOf(other), "Joining the running download of big-q8_0.gguf")
        assert.isAtMost(hub.sent(), 5_000_000)
        assert.strictEqual((yield* list).length, 2)
        for (const id of ["acme/big", "hf:acme/big", "hf:acme/big:Q8_0", "HF:acme/big".toLowerCase()]) {
          const found = JSON.parse(
            resultOf(yield* client.events({ operation: "model_get", hive_id: "test", id }))
          )
          assert.strictEqual(found.architecture, "llama")
        }
        const again = yield* client.events(download)
        assert.include(narrationOf(again), "is already on this hive")
        assert.isAtMost(hub.sent(), 5_000_000)
      }).pipe((test) => withHive(test, { settings: { models: { hfEndpoint: hub.url } } }))
    })
  )

  it.live(
    "stops the download when its last job is cancelled, keeps the partial file, and deletes it on request",
    () =>
      Effect.gen(function* () {
        const hub = yield* bigModelHub(bigModel(5_000_000), () => 2_000_000)
        yield* Effect.gen(function* () {
          const client = yield* Client
          const first = yield* client.submit(download)
          yield* until(Effect.sync(hub.sent), (sent) => sent >= 2_000_000)
          yield* client.cancel(first)
          const requests = hub.seen.length
          const remove = { operation: "model_delete", hive_id: "test", id: "hf:acme/big" }
          assert.include(
            narrationOf(yield* client.events(remove)),
            "Removed the partial download of hf:acme/big"
          )
          assert.strictEqual(failureOf(yield* client.events(remove)).code, "ModelNotFound")
          assert.strictEqual(hub.seen.length, requests)
        }).pipe((test) => withHive(test, { settings: { models: { hfEndpoint: hub.url } } }))
      })
  )

  it.live("registers a local file in place, refuses to delete a loaded model, and deletes others", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const folder = yield* temporaryFolder
        const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname
        const file = join(folder, "mine.gguf")
        copyFileSync(tiny, file)
        const id = `file:${file}`
        const adopted = JSON.parse(resultOf(yield* client.events({ ...download, model: id })))
        assert.deepInclude(adopted, { id, path: file })
        const listed = JSON.parse(
          resultOf(yield* client.events({ operation: "model_list", hive_id: "test" }))
        )
        assert.include(
          listed.models.map((model: { id: string }) => model.id),
          id
        )
        const worker = workerOf(yield* client.events({ ...spawnTiny, model: id }))
        const remove = { operation: "model_delete", hive_id: "test", id }
        const refused = failureOf(yield* client.events(remove))
        assert.strictEqual(refused.code, "ModelInUse")
        assert.include(refused.message, worker.id)
        yield* client.events({ operation: "worker_delete", hive_id: "test", id: worker.id })
        assert.include(narrationOf(yield* client.events(remove)), "the file is kept")
        assert.isTrue(existsSync(file))
        const shipped = failureOf(yield* client.events({ ...remove, id: "rbee:tiny" }))
        assert.include(shipped.message, "it ships with rbee")
      })
    )
  )
})

const bytes = Number(process.env["RBEE_TEST_DOWNLOAD_BYTES"] ?? 200_000_000)
const onePart = 64 * 1024 * 1024

const sha256Of = (file: string) =>
  Effect.promise(async () => {
    const hash = createHash("sha256")
    for await (const chunk of createReadStream(file)) hash.update(chunk)
    return hash.digest("hex")
  })

describe("a killed download", () => {
  it.live(
    `ends whole after client, hive and server were killed five times (${bytes / 1e6} MB)`,
    () =>
      Effect.gen(function* () {
        const model = bigModel(bytes)
        let allowed = 0
        const hub = yield* bigModelHub(model, () => allowed)
        const home = yield* temporaryFolder
        const env = {
          RBEE_QUEEN_PORT: String(yield* freePort),
          RBEE_HIVE_PORT: String(yield* freePort),
          RBEE_MODELS_HF_ENDPOINT: hub.url
        }
        const run = (...args: ReadonlyArray<string>) => rbee(home, args, { env })
        yield* Effect.addFinalizer(() => run("stop"))
        const start = Effect.forkChild(run("model", "download", "acme/big"))
        const hivePid = () =>
          JSON.parse(readFileSync(join(home, "state", "run", "hive-localhost.json"), "utf8")).pid
        /** Lets the server send up to a share of the file, and waits until it has. */
        const sendUpTo = (share: number) =>
          Effect.gen(function* () {
            allowed = Math.floor(bytes * share)
            yield* until(Effect.sync(hub.sent), (sent) => sent >= allowed)
          }).pipe(Effect.timeout("60 seconds"))

        const client = yield* start
        yield* sendUpTo(0.15)
        yield* Fiber.interrupt(client)
        const second = yield* start
        yield* sendUpTo(0.3)
        yield* Effect.promise(() => hub.restart(300))
        yield* sendUpTo(0.45)
        process.kill(hivePid(), "SIGKILL")
        assert.strictEqual((yield* Fiber.join(second)).code, 1)
        const third = yield* start
        yield* sendUpTo(0.6)
        yield* Effect.promise(() => hub.restart(300))
        yield* sendUpTo(0.75)
        process.kill(hivePid(), "SIGKILL")
        yield* Fiber.join(third)
        const last = yield* start
        allowed = Number.MAX_SAFE_INTEGER
        const { code, stderr, stdout } = yield* Fiber.join(last)
        assert.strictEqual(code, 0, stderr)
        assert.include(stdout, "hf:acme/big")
        const file = join(home, "data", "models", "hf", "acme", "big", "big-q8_0.gguf")
        assert.strictEqual(yield* sha256Of(file), model.sha256)
        assert.deepStrictEqual(readdirSync(join(home, "data", "models")), ["hf"])
        assert.isAtMost(hub.sent() - bytes, onePart, "bytes that were fetched twice")
      }).pipe(Effect.scoped),
    Duration.toMillis("10 minutes")
  )
})
