import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sha256Of } from "../../support/fileServer.ts"
import { modelHubs, ollamaLayer, textFile } from "../../support/modelHubs.ts"
import { resolving } from "../../support/modelSources.ts"

const layer = (mediaType: string) => ({ mediaType, digest: `sha256:${"a".repeat(64)}`, size: 3 })
const content = textFile("a model")
const sha256 = sha256Of(Buffer.from("a model"))

const templateNote = "The model's Go template is ignored; the chat template of its file is used"

describe("the Ollama registry", () => {
  it.live("returns the parameters and the system prompt of a model, and reports unused ones", () =>
    Effect.gen(function* () {
      const params = {
        num_ctx: 1024,
        num_keep: 24,
        stop: ["<|a|>"],
        temperature: 0.5,
        top_p: "much",
        wings: 2
      }
      const others = [
        ollamaLayer("params", JSON.stringify(params)),
        ollamaLayer("system", "You are brief."),
        ollamaLayer("template", "{{ .Prompt }}")
      ]
      const hubs = yield* modelHubs({
        ollama: {
          "library/tiny:latest": { content, others },
          "library/plain:latest": { content, others: [ollamaLayer("params", "no JSON")] },
          "library/long:latest": { content, others: [ollamaLayer("system", "x".repeat(70_000))] }
        }
      })
      const resolve = resolving(hubs)
      const { defaults, notes } = yield* resolve("ollama:tiny")
      assert.deepStrictEqual(defaults, {
        parameters: { num_ctx: 1024, stop: ["<|a|>"], temperature: 0.5 },
        system: "You are brief."
      })
      assert.deepStrictEqual(notes, [templateNote, "Unsupported parameters are ignored: 'top_p', 'wings'"])
      const plain = yield* resolve("ollama:plain")
      assert.deepStrictEqual(
        [plain.defaults, plain.notes],
        [undefined, ["The model's parameters are ignored: invalid JSON"]]
      )
      const long = yield* resolve("ollama:long")
      assert.deepStrictEqual(
        [long.defaults, long.notes],
        [undefined, ["The model's system layer is ignored: it has more than 65536 bytes"]]
      )
    })
  )

  it.live("fails when such a layer is missing or has another digest", () =>
    Effect.gen(function* () {
      const system = ollamaLayer("system", "You are brief.")
      const hubs = yield* modelHubs({
        ollama: {
          "library/absent:latest": { content, others: [layer("application/vnd.ollama.image.system")] },
          "library/forged:latest": { content, others: [{ ...system, content: textFile("You are long.") }] }
        }
      })
      const failureOf = (id: string) => Effect.map(Effect.flip(resolving(hubs)(id)), ({ _tag }) => _tag)
      assert.strictEqual(yield* failureOf("ollama:absent"), "DownloadNotFound")
      assert.strictEqual(yield* failureOf("ollama:forged"), "InvalidAnswer")
    })
  )

  it.live("finds the layer of the model; defaults are the library and the tag latest", () =>
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
        ],
        notes: [templateNote]
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

  it.live("reports an absent model, and one without a GGUF file", () =>
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

  it.live("rejects a manifest with an invalid digest", () =>
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
