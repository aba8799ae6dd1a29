import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FileSystem, Layer, Schema } from "effect"
import { ModelRecord, Models } from "../../src/hive/Models.ts"
import { smallModel, writeGguf } from "./data/ggufWriter.ts"

const small = writeGguf(smallModel)
const smallMemory = small.length + 256 * 4096 + 256 * (3 + 4 * 64) * 4 + 134_217_728
const tinyPath = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

/** The service over a fresh models folder, and a way to put files there. */
const setup = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const root = yield* fs.makeTempDirectoryScoped()
  const folder = `${root}/models`
  const services = yield* Layer.build(Models.layerNoDeps(folder))
  const put = Effect.fnUntraced(function* (name: string, bytes: Uint8Array = small) {
    const path = `${folder}/${name}`
    yield* fs.makeDirectory(path.slice(0, path.lastIndexOf("/")), { recursive: true })
    yield* fs.writeFile(path, bytes)
    return path
  })
  return { models: yield* Effect.provide(Models, services), put, folder, root, fs }
})

const ids = (records: ReadonlyArray<ModelRecord>) => records.map(({ id }) => id)

describe("Models", () => {
  it.effect("has the model that ships with rbee, also without a models folder", () =>
    Effect.gen(function* () {
      const { models } = yield* setup
      const record = yield* models.get("rbee:tiny")
      assert.deepStrictEqual(ids(yield* models.list), ["rbee:tiny"])
      const { path, ...wire } = yield* Schema.encodeEffect(ModelRecord)(record)
      assert.deepStrictEqual(wire, {
        id: "rbee:tiny",
        size_bytes: 2_648_640,
        architecture: "llama",
        parameters: 2_361_024,
        context_length: 512,
        quantisation: "Q8_0",
        chat_template: true,
        memory_bytes: 2_648_640 + 512 * 1024 + 256 * (4096 + 4 * 192) * 4 + 134_217_728
      })
      assert.match(path ?? "", /\/(src|dist)\/worker\/tiny\/rbee-tiny-novelist-q8_0\.gguf$/)
      assert.deepStrictEqual(yield* models.resolve("rbee:tiny"), { id: "rbee:tiny", path: path ?? "" })
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("adopts the files of the folder where they lie, and leaves out what is no model", () =>
    Effect.gen(function* () {
      const { models, put, folder, root, fs } = yield* setup
      yield* put("b.gguf")
      yield* put("sub/deeper/c.gguf")
      yield* put("sub/b.gguf")
      yield* put("My Model.gguf")
      yield* put("bad;name.gguf")
      yield* put("broken.gguf", small.subarray(0, 100))
      yield* put("README.md")
      yield* put("1/2/3/4/5/6/7/8/too-deep.gguf")
      yield* fs.makeDirectory(`${folder}/folder.gguf`)
      yield* fs.writeFile(`${root}/elsewhere`, small)
      yield* fs.symlink(`${root}/elsewhere`, `${folder}/linked.gguf`)
      yield* fs.symlink(`${root}/nowhere`, `${folder}/dangling.gguf`)
      yield* fs.symlink(folder, `${folder}/loop`)
      assert.deepStrictEqual(ids(yield* models.list), [
        "rbee:tiny",
        `file:${folder}/My Model.gguf`,
        "b",
        "linked",
        `file:${folder}/sub/b.gguf`,
        "c"
      ])
      for (const { id } of yield* models.list) assert.strictEqual((yield* models.get(id)).id, id)
      assert.deepStrictEqual(
        yield* models.get("c.gguf"),
        new ModelRecord({
          id: "c",
          path: `${folder}/sub/deeper/c.gguf`,
          size_bytes: small.length,
          architecture: "llama",
          parameters: 2048,
          context_length: 8192,
          quantisation: "Q8_0",
          chat_template: false,
          memory_bytes: smallMemory
        })
      )
      const broken = yield* Effect.flip(models.get("broken"))
      assert.strictEqual(broken._tag === "GgufError" && broken.kind, "cut_off")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("takes any file by its path, and gives the header for other context lengths", () =>
    Effect.gen(function* () {
      const { models, root, fs } = yield* setup
      const path = `${root}/model.gguf`
      yield* fs.writeFile(path, small)
      for (const id of [`file:${path}`, path]) assert.strictEqual((yield* models.get(id)).id, `file:${path}`)
      const { record, gguf } = yield* models.describe(path)
      assert.strictEqual(gguf.memoryBytes(8192) - record.memory_bytes, 4096 * gguf.kvBytesPerToken)
      assert.strictEqual((yield* models.get(`file:${tinyPath}`)).architecture, "llama")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("says how to get a model that is not here, and refuses what is no id", () =>
    Effect.gen(function* () {
      const { models, folder, root } = yield* setup
      const absent = [
        "llama2",
        "org/repo",
        "hf:org/repo:Q4_K_M",
        "ollama:llama2",
        "https://a.org/b.gguf",
        `${root}/no.gguf`
      ]
      for (const id of absent) {
        assert.strictEqual((yield* Effect.flip(models.get(id)))._tag, "ModelNotFound", id)
        assert.strictEqual((yield* Effect.flip(models.resolve(id)))._tag, "ModelNotFound", id)
      }
      assert.strictEqual(
        (yield* Effect.flip(models.get("llama2"))).message,
        "Model 'llama2' is not on this hive; 'rbee model download ID' brings one (hf:org/repo, ollama:name, https://…), " +
          `or put a GGUF file into ${folder}, name one as file:/path/to/model.gguf, or use rbee:tiny`
      )
      for (const id of ["", "../x", "s3:x", "/etc/passwd"]) {
        assert.strictEqual((yield* Effect.flip(models.get(id)))._tag, "InvalidModelId", id)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("lists a split model once, with the size of all its files", () =>
    Effect.gen(function* () {
      const { models, put } = yield* setup
      const split = (index: number) => ({
        "split.no": { type: "uint32", value: index } as const,
        "split.count": { type: "uint32", value: 2 } as const
      })
      yield* put(
        "big-00001-of-00002.gguf",
        writeGguf({ ...smallModel, fields: { ...smallModel.fields, ...split(0) } })
      )
      yield* put("big-00002-of-00002.gguf", writeGguf({ ...smallModel, fields: split(1) }))
      const [, big, ...more] = yield* models.list
      assert.deepStrictEqual([big?.id, big?.parameters, more], ["big-00001-of-00002", 4096, []])
      const later = yield* Effect.flip(models.get("big-00002-of-00002"))
      assert.match(later.message, /name the first$/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("reads a file again when it changed, and not otherwise", () =>
    Effect.gen(function* () {
      const { put, folder, fs } = yield* setup
      let opened = 0
      const counting = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) => Effect.suspend(() => (opened++, fs.open(path, options)))
      })
      const services = yield* Layer.build(
        Models.layerNoDeps(folder).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem, counting)))
      )
      const models = yield* Effect.provide(Models, services)
      const path = yield* put("a.gguf")
      yield* Effect.all([models.get("a"), models.get("a"), models.list], { concurrency: "unbounded" })
      yield* models.list
      assert.strictEqual(opened, 2)
      const fields = {
        ...smallModel.fields,
        "llama.context_length": { type: "uint32", value: 1024 } as const
      }
      yield* put("a.gguf", writeGguf({ ...smallModel, fields }))
      yield* fs.utimes(path, 1_000, 1_000)
      assert.strictEqual((yield* models.get("a")).context_length, 1024)
      assert.strictEqual(opened, 3)
      yield* fs.remove(path)
      assert.deepStrictEqual(ids(yield* models.list), ["rbee:tiny"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("lists 500 models in under 100 ms once they were read", () =>
    Effect.gen(function* () {
      const { models, put } = yield* setup
      yield* Effect.forEach(
        Array.from({ length: 500 }, (_, index) => index),
        (index) => put(`${index % 20}/m${index}.gguf`)
      )
      const timed = Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        assert.strictEqual((yield* models.list).length, 501)
        return (yield* Clock.currentTimeMillis) - before
      })
      yield* timed
      const warm = yield* Effect.all(Array.from({ length: 5 }, () => timed))
      assert.isBelow(Math.min(...warm), 100)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
