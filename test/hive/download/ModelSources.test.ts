import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FileSystem, Layer, Result } from "effect"
import { type FetchRequest, Fetcher } from "../../../src/hive/download/Fetcher.ts"
import { ModelSources } from "../../../src/hive/download/ModelSources.ts"
import type { RemoteModel } from "../../../src/hive/download/RemoteModel.ts"
import { Transfer } from "../../../src/hive/download/Transfer.ts"
import * as ModelId from "../../../src/hive/models/ModelId.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { generated, sha256Of } from "../../support/fileServer.ts"
import { modelHubs } from "../../support/modelHubs.ts"
import { resolving } from "../../support/modelSources.ts"

const resolve = resolving({ settings: {} })

describe("ModelSources", () => {
  it.live("finds the model of a URL, sends its query and does not show it", () =>
    Effect.gen(function* () {
      const url = "https://example.org:8443/models/a%20b/tiny%20one.gguf?signature=secret"
      assert.deepStrictEqual(yield* resolve(url), {
        folder: "https/example.org_8443/models/a_20b",
        from: "https://example.org:8443/models/a%20b/tiny%20one.gguf",
        files: [{ url, access: { mayBePrivate: false }, name: "tiny one.gguf" }]
      })
      assert.strictEqual((yield* resolve("https://example.org/tiny.gguf")).folder, "https/example.org")
    })
  )

  it.live("rejects a URL without a GGUF file, and an unsafe file name", () =>
    Effect.gen(function* () {
      for (const url of [
        "https://example.org/",
        "https://example.org/get?file=x.gguf",
        "https://example.org/x.zip?key=secret",
        "https://example.org/%ff.gguf"
      ]) {
        const error = yield* Effect.flip(resolve(url))
        assert.strictEqual(error._tag, "NotDownloadable", url)
        assert.include(error.message, "take the address of the file itself")
        assert.notInclude(error.message, "secret")
      }
      for (const url of ["a%2Fx", "a%5Cx", "%00x", "%0Ax", ".x"].map(
        (name) => `https://example.org/${name}.gguf`
      )) {
        assert.strictEqual((yield* Effect.flip(resolve(url)))._tag, "HostileFileName", url)
      }
    })
  )

  it.live("explains that a local model needs no download, and that a name has no source", () =>
    Effect.gen(function* () {
      for (const [id, reason] of [
        ["rbee:tiny", /ships with rbee/],
        ["file:/srv/x.gguf", /file of this machine/],
        ["llama2", /write hf:org\/repo/]
      ] as const) {
        const error = yield* Effect.flip(resolve(id))
        assert.strictEqual(error._tag, "NotDownloadable")
        assert.match(error.message, reason)
      }
    })
  )

  it.effect("allows private addresses only for servers that the owner has configured", () =>
    Effect.gen(function* () {
      for (const id of ["hf:org/tiny", "ollama:tiny"]) {
        const asked = yield* Deferred.make<FetchRequest>()
        const fetcher = Layer.mock(Fetcher, {
          json: (request) => Effect.andThen(Deferred.succeed(asked, request), Effect.never)
        })
        const sources = ModelSources.layerNoDeps.pipe(
          Layer.provide(fetcher),
          Layer.provide(Settings.layerDefaults())
        )
        const parsed = Result.getOrThrow(ModelId.parse(id))
        const resolving = ModelSources.use((service) => service.resolve(parsed))
        yield* Effect.raceFirst(Effect.provide(resolving, sources), Deferred.await(asked))
        assert.isFalse((yield* Deferred.await(asked)).access.mayBePrivate, id)
      }
    })
  )

  it.live("reports size and ranges of a file, and does not send the token to a redirect's target", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const content = generated(300_000)
      const hubs = yield* modelHubs({
        repositories: { "org/tiny": { token: "hf_secret", files: { "tiny-Q4_K_M.gguf": { content } } } },
        ollama: { "library/tiny:latest": { content } }
      })
      const fetch = ({ files: [file] }: RemoteModel, name: string) =>
        Transfer.use((transfer) =>
          transfer.fetch(file, `${folder}/${name}`, `${folder}/${name}.parts`, () => Effect.void)
        )
      const transfer = Transfer.layerWith(64_000).pipe(
        Layer.provide(Fetcher.layerNoDeps),
        Layer.provide(Settings.layerDefaults()),
        Layer.provideMerge(NodeServices.layer)
      )
      const sha256 = sha256Of(content.slice(0, content.size))
      yield* Effect.gen(function* () {
        const open = yield* Effect.flip(fetch(yield* resolving(hubs)("org/tiny"), "gated"))
        assert.strictEqual(open._tag, "DownloadUnauthorized")
        for (const id of ["org/tiny", "ollama:tiny"]) {
          const model = yield* resolving(hubs, { HF_TOKEN: "hf_secret" })(id)
          assert.deepStrictEqual(yield* fetch(model, id.replace(/\W/g, "-")), { size: content.size, sha256 })
        }
      }).pipe(Effect.provide(transfer))
      assert.isAbove(hubs.cdn.seen.length, 8)
      for (const { authorization } of hubs.cdn.seen) assert.isUndefined(authorization)
      const ofRegistry = hubs.hub.seen.filter(({ url }) => url.startsWith("/v2/"))
      assert.isAbove(ofRegistry.length, 1)
      for (const { authorization } of ofRegistry) assert.isUndefined(authorization)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
