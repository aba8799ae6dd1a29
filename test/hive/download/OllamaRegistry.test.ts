import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sha256Of } from "../../support/fileServer.ts"
import { modelHubs, textFile } from "../../support/modelHubs.ts"
import { resolving } from "../../support/modelSources.ts"

const layer = (mediaType: string) => ({ mediaType, digest: `sha256:${"a".repeat(64)}`, size: 3 })
const content = textFile("a model")
const sha256 = sha256Of(Buffer.from("a model"))

describe("the Ollama registry", () => {
  it.live("finds the layer of the model, by default of the library and the tag latest", () =>
    Effect.gen(function* () {
      const others = [
        layer("application/vnd.ollama.image.template"),
        layer("application/vnd.ollama.image.projector")
      ]
      const hubs = yield* modelHubs({
        ollama: { "library/tiny:latest": { content, others }, "someone/tiny:7b-q4_0": { content } }
      })
      const resolve = resolving(hubs, { HF_TOKEN: "hf_secret" })
      const access = { mayBePrivate: true }
      assert.deepStrictEqual(yield* resolve("ollama:tiny"), {
        folder: "ollama/tiny",
        from: `${hubs.hub.url}/v2/library/tiny:latest at sha256:${sha256.slice(0, 12)}`,
        files: [
          {
            url: `${hubs.hub.url}/v2/library/tiny/blobs/sha256:${sha256}`,
            access,
            name: "latest.gguf",
            size: 7,
            sha256
          }
        ]
      })
      const named = yield* resolve("ollama:someone/tiny:7b-q4_0")
      assert.deepStrictEqual([named.folder, named.files[0].name], ["ollama/someone/tiny", "7b-q4_0.gguf"])
      assert.strictEqual((yield* resolve("ollama:library/tiny")).folder, "ollama/tiny")
      assert.deepStrictEqual(
        hubs.hub.seen.map(({ authorization, url }) => [url, authorization]),
        [
          "library/tiny/manifests/latest",
          "someone/tiny/manifests/7b-q4_0",
          "library/tiny/manifests/latest"
        ].map((path) => [`/v2/${path}`, undefined])
      )
    })
  )

  it.live("says when there is no such model, or none that is a GGUF file", () =>
    Effect.gen(function* () {
      const tensors = [1, 2, 3].map(() => layer("application/vnd.ollama.image.tensor"))
      const resolve = resolving(yield* modelHubs({ ollama: { "library/mlx:latest": { others: tensors } } }))
      assert.strictEqual((yield* Effect.flip(resolve("ollama:absent")))._tag, "DownloadNotFound")
      const error = yield* Effect.flip(resolve("ollama:mlx"))
      assert.strictEqual(error._tag, "NoSuchFile")
      assert.include(
        error.message,
        "it has application/vnd.ollama.image.tensor; take a model that is offered as GGUF"
      )
    })
  )

  it.live("refuses a manifest whose digest is none", () =>
    Effect.gen(function* () {
      const model = layer("application/vnd.ollama.image.model")
      for (const layers of [
        [{ ...model, digest: "sha256:../../x" }],
        [{ ...model, digest: "a".repeat(64) }],
        [{ ...model, size: -1 }],
        "x"
      ]) {
        const hubs = yield* modelHubs({
          misbehave: (_request, response) => (response.end(JSON.stringify({ layers })), true)
        })
        assert.strictEqual((yield* Effect.flip(resolving(hubs)("ollama:tiny")))._tag, "InvalidAnswer")
      }
    })
  )
})
