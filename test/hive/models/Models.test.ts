import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, PlatformError, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ggufOnly } from "../../../src/hive/engines/Engine.ts"
import { templateTraits } from "../../../src/hive/gguf/GgufTraits.ts"
import { ModelRecord } from "../../../src/hive/models/ModelRecord.ts"
import { Models } from "../../../src/hive/models/Models.ts"
import { smallModel, writeGguf } from "../../support/ggufWriter.ts"

const small = writeGguf(smallModel)
const smallMemory = small.length + 256 * 8192 + 256 * (3 + 4 * 64) * 4 + 134_217_728
const tinyPath = new URL("../../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

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

  it.effect("adopts the files of the folder in place, and skips files that are not models", () =>
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
        "My Model",
        "b",
        "linked",
        `file:${folder}/sub/b.gguf`,
        "c"
      ])
      for (const { id } of yield* models.list) assert.strictEqual((yield* models.get(id)).id, id)
      const { skipped } = yield* models.survey
      assert.deepStrictEqual(skipped.map(({ path }) => path.slice(folder.length + 1)).sort(), [
        "1/2/3/4/5/6/7/8",
        "bad;name.gguf",
        "broken.gguf",
        "dangling.gguf"
      ])
      assert.match(skipped.find(({ path }) => path.endsWith(";name.gguf"))?.reason ?? "", /shell; rename it$/)
      assert.match(skipped.find(({ path }) => path.endsWith("dangling.gguf"))?.reason ?? "", /ENOENT/)
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

  it.effect("finds any file by its path, and returns the header for other context lengths", () =>
    Effect.gen(function* () {
      const { models, root, fs } = yield* setup
      const path = `${root}/model.gguf`
      yield* fs.writeFile(path, small)
      for (const id of [`file:${path}`, path]) assert.strictEqual((yield* models.get(id)).id, `file:${path}`)
      const { record, gguf } = yield* models.describe(path)
      assert.strictEqual(record.memory_bytes - gguf.memoryBytes(4096), 4096 * gguf.kvBytesPerToken)
      assert.strictEqual((yield* models.get(`file:${tinyPath}`)).architecture, "llama")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("explains how to get an absent model, and rejects invalid ids", () =>
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
        "Model 'llama2' is not on this hive; download one with 'rbee model download ID' (hf:org/repo, ollama:name, https://…), " +
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
      assert.isEmpty((yield* models.survey).skipped)
      const later = yield* Effect.flip(models.get("big-00002-of-00002"))
      assert.match(later.message, /name the first$/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("names the missing file of a split model, and finds it once it exists", () =>
    Effect.gen(function* () {
      const { folder, fs, models, put } = yield* setup
      const split = (index: number, count: number) => ({
        ...smallModel,
        fields: {
          ...(index === 0 ? smallModel.fields : {}),
          "split.no": { type: "uint32", value: index } as const,
          "split.count": { type: "uint32", value: count } as const
        }
      })
      const part = (name: string, index: number, count: number) =>
        put(`${name}-0000${index + 1}-of-0000${count}.gguf`, writeGguf(split(index, count)))
      yield* part("two", 0, 2)
      yield* part("three", 0, 3)
      const third = yield* part("three", 2, 3)
      yield* part("headless", 1, 2)
      const reasons = (yield* models.survey).skipped
        .map(({ path, reason }) => `${path}: ${reason}`)
        .join("\n")
      assert.include(reasons, `part 2 of 2 is missing (${folder}/two-00002-of-00002.gguf)`)
      assert.include(reasons, `part 2 of 3 is missing (${folder}/three-00002-of-00003.gguf)`)
      assert.include(
        reasons,
        `the first file of this split model is missing (${folder}/headless-00001-of-00002.gguf)`
      )
      const asked = yield* Effect.flip(models.get("two-00001-of-00002"))
      assert.include(asked.message, "part 2 of 2 is missing")
      yield* part("two", 1, 2)
      yield* part("three", 1, 3)
      yield* part("headless", 0, 2)
      assert.lengthOf(yield* models.list, 4)
      yield* fs.remove(third)
      assert.lengthOf(yield* models.list, 3)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("finds files in upper and lower case, also through links to folders, each once", () =>
    Effect.gen(function* () {
      const { folder, fs, models, put, root } = yield* setup
      const disk = `${root}/disk`
      yield* fs.makeDirectory(`${disk}/deeper`, { recursive: true })
      yield* fs.writeFile(`${disk}/far.gguf`, small)
      yield* fs.writeFile(`${disk}/deeper/farther.GGUF`, small)
      yield* fs.symlink(disk, `${disk}/deeper/loop`)
      yield* put("Upper.GGUF")
      yield* put("Mixed.GgUf")
      yield* put("My [Q4] Model (v2).gguf")
      yield* put("(odd) & more!.gguf")
      yield* fs.symlink(disk, `${folder}/disk`)
      yield* fs.symlink(disk, `${folder}/same-disk`)
      yield* fs.symlink(`${disk}/far.gguf`, `${folder}/linked file.gguf`)
      assert.deepStrictEqual(ids(yield* models.list).toSorted(), [
        "(odd) & more!",
        "Mixed",
        "My [Q4] Model (v2)",
        "Upper",
        "far",
        "farther",
        "linked file",
        "rbee:tiny"
      ])
      for (const [asked, id] of [
        ["Upper", "Upper"],
        ["upper", "Upper"],
        ["Upper.GGUF", "Upper"],
        ["Upper.gguf:latest", "Upper"],
        ["Upper:latest", "Upper"],
        ["tiny:latest", "rbee:tiny"],
        ["rbee:tiny:latest", "rbee:tiny"],
        ["My [Q4] Model (v2).gguf", "My [Q4] Model (v2)"],
        ["far.gguf", "far"]
      ] as const) {
        assert.strictEqual((yield* models.get(asked)).id, id, asked)
        const { path, ...resolved } = yield* models.resolve(asked)
        assert.deepStrictEqual(resolved, { id }, asked)
        assert.isUndefined(ggufOnly(path), asked)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("deletes files, and links without their targets", () =>
    Effect.gen(function* () {
      const { folder, fs, models, put, root } = yield* setup
      yield* fs.makeDirectory(`${root}/disk`)
      yield* fs.writeFile(`${root}/disk/far.gguf`, small)
      yield* fs.writeFile(`${root}/elsewhere.gguf`, small)
      yield* put("sub/near.gguf")
      yield* fs.symlink(`${root}/disk`, `${folder}/disk`)
      yield* fs.symlink(`${root}/elsewhere.gguf`, `${folder}/linked.gguf`)
      assert.strictEqual(yield* models.remove("linked"), 0)
      assert.isTrue(yield* fs.exists(`${root}/elsewhere.gguf`))
      assert.isFalse(yield* fs.exists(`${folder}/linked.gguf`))
      assert.strictEqual(yield* models.remove("far"), small.length)
      assert.isFalse(yield* fs.exists(`${root}/disk/far.gguf`))
      assert.isTrue(yield* fs.exists(`${folder}/disk`))
      assert.strictEqual(yield* models.remove("near"), small.length)
      assert.isFalse(yield* fs.exists(`${folder}/sub`))
      assert.deepStrictEqual(ids(yield* models.list), ["rbee:tiny"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("reports why a file cannot be deleted, and still lists the model", () =>
    Effect.gen(function* () {
      const { folder, fs, put } = yield* setup
      const refusal = (code: string) =>
        PlatformError.systemError({
          _tag: "Unknown",
          module: "FileSystem",
          method: "remove",
          cause: Object.assign(new Error(code), { code })
        })
      let code = "EROFS"
      const closed = FileSystem.FileSystem.of({
        ...fs,
        remove: () => Effect.suspend(() => Effect.fail(refusal(code)))
      })
      const services = yield* Layer.build(
        Models.layerNoDeps(folder).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem, closed)))
      )
      const models = yield* Effect.provide(Models, services)
      yield* put("a.gguf")
      for (const [next, words] of [
        ["EROFS", "the file system is read-only; mount it writable"],
        ["EACCES", "permission denied"],
        ["EPERM", "the operation is not permitted"],
        ["EIO", "input/output error"]
      ] as const) {
        code = next
        const error = yield* Effect.flip(models.remove("a"))
        assert.strictEqual(error._tag, "ModelNotDeleted")
        assert.include(error.message, `Model 'a' was not deleted: cannot remove a.gguf from ${folder}: `)
        assert.include(error.message, words)
        assert.deepStrictEqual(ids(yield* models.list), ["rbee:tiny", "a"])
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("creates models from others in the same folder, and finds them again", () =>
    Effect.gen(function* () {
      const { folder, fs, models, put } = yield* setup
      const source = yield* put("sub/base.gguf")
      const template = "{% for message in messages %}{{ message.content }}{% endfor %}"
      yield* models.create("me/brief:v1", "base", { system: "Be brief." })
      yield* models.create("fixed:latest", "me/brief:v1", { template, parameters: { top_k: 3 } })
      yield* models.create("tinier", "tiny", {})
      assert.isTrue(yield* fs.exists(`${folder}/sub/me%2Fbrief%3Av1.created.json`))
      assert.strictEqual(yield* fs.readFileString(`${folder}/sub/fixed.created.jinja`), template)
      assert.isTrue(yield* fs.exists(`${folder}/created/tinier.created.json`))

      const later = yield* Effect.provide(Models, yield* Layer.build(Layer.fresh(Models.layerNoDeps(folder))))
      assert.deepStrictEqual(ids(yield* later.list).toSorted(), [
        "base",
        "fixed",
        "me/brief:v1",
        "rbee:tiny",
        "tinier"
      ])
      const { created, record, serves, traits } = yield* later.describe("fixed")
      assert.deepStrictEqual(
        [record.created_from, record.path, created?.system, created?.parameters],
        ["base", source, "Be brief.", { top_k: 3 }]
      )
      assert.deepStrictEqual(traits, { purpose: "text", ...templateTraits(template) })
      assert.deepStrictEqual(serves, { id: "fixed", chatTemplate: `${folder}/sub/fixed.created.jinja` })
      // Without a template, the workers of the source serve it.
      assert.deepStrictEqual(yield* later.resolve("me/brief:v1"), { id: "base", path: source })
      assert.deepStrictEqual(yield* later.resolve("fixed"), { id: "fixed", path: source })

      const error = yield* Effect.flip(later.remove("base"))
      assert.strictEqual(error._tag, "ModelIsSource")
      yield* later.remove("fixed")
      assert.isFalse(yield* fs.exists(`${folder}/sub/fixed.created.jinja`))
      yield* fs.remove(source)
      const { models: left, skipped } = yield* later.survey
      assert.deepStrictEqual(
        left.map(({ record }) => record.id),
        ["rbee:tiny", "tinier"]
      )
      assert.deepStrictEqual(
        skipped.map(({ reason }) => reason),
        ["the model 'base', from which it was created, is missing"]
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("notices within seconds that a manifest or a file is readable again", () =>
    Effect.gen(function* () {
      const { folder, fs, put } = yield* setup
      let closed = true
      const refusal = PlatformError.systemError({
        _tag: "Unknown",
        module: "FileSystem",
        method: "open",
        cause: Object.assign(new Error("EMFILE"), { code: "EMFILE" })
      })
      const flaky = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) => (closed ? Effect.fail(refusal) : fs.open(path, options)),
        readFileString: (path) => (closed ? Effect.fail(refusal) : fs.readFileString(path))
      })
      const context = yield* Layer.build(
        Models.layerNoDeps(folder).pipe(
          Layer.provideMerge(TestClock.layer()),
          Layer.provide(Layer.succeed(FileSystem.FileSystem, flaky))
        )
      )
      const models = yield* Effect.provide(Models, context)
      yield* put("x.gguf")
      const manifest = JSON.stringify({ ids: ["ollama:x"], from: "there", at: "2026-01-01", files: [] })
      yield* put("x.gguf.rbee.json", new TextEncoder().encode(manifest))
      yield* Effect.gen(function* () {
        const [first] = (yield* models.survey).skipped
        assert.include(first?.reason ?? "", "too many open files")
        closed = false
        yield* TestClock.adjust("6 seconds")
        assert.include(ids(yield* models.list), "ollama:x")
      }).pipe(Effect.provide(context))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("reads a file again only when it has changed", () =>
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
})
