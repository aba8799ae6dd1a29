// @effect-diagnostics-next-line nodeBuiltinImport:off -- read before any test, to make the tests from it
import { readFileSync } from "node:fs"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, FileSystem, Path, Schema } from "effect"
import { Gguf } from "../../../src/hive/gguf/Gguf.ts"
import { GgufError } from "../../../src/hive/gguf/GgufFile.ts"
import { readModelHeader } from "../../../src/hive/gguf/GgufParts.ts"
import { type Contents, smallModel, writeGguf } from "../../support/ggufWriter.ts"

const tinyPath = new URL("../../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname
const tiny = readFileSync(tinyPath)

const withFile = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const path = (yield* Path.Path).join(yield* fs.makeTempDirectoryScoped(), "model.gguf")
  yield* fs.writeFile(path, bytes)
  return path
}, Effect.orDie)
const readBytes = (bytes: Uint8Array) =>
  Effect.scoped(Effect.flatMap(withFile(bytes), Gguf.read)).pipe(Effect.provide(NodeServices.layer))
const refusal = (bytes: Uint8Array) =>
  Effect.map(Effect.flip(readBytes(bytes)), ({ kind, reason }) => ({ kind, reason }))
const changed = (fields: Contents["fields"]): Contents => ({
  ...smallModel,
  fields: { ...smallModel.fields, ...fields }
})
const uint32 = (value: number) => ({ type: "uint32", value }) as const
const string = (value: string) => ({ type: "string", value }) as const

describe("Gguf", () => {
  it.effect("reads the model that ships with rbee", () =>
    Effect.gen(function* () {
      const gguf = yield* Gguf.read(tinyPath)
      assert.deepStrictEqual(
        { ...gguf },
        {
          sizeBytes: 2_648_640,
          version: 3,
          architecture: "llama",
          name: "rbee-tiny-novelist",
          parameters: 2_361_024,
          quantisation: "Q8_0",
          contextLength: 512,
          chatTemplate: true,
          traits: { chatTemplate: true, purpose: "text", reasons: false, tools: false },
          blocks: 4,
          embeddingLength: 192,
          headCount: 3,
          headCountKv: 1,
          vocabulary: 4096,
          kvBytesPerToken: 1024,
          files: 1
        }
      )
      // weights + 512 tokens of cache + a batch of logits and activations + 128 MiB
      const computing = 256 * (4096 + 4 * 192) * 4
      assert.strictEqual(gguf.memoryBytes(512), 2_648_640 + 512 * 1024 + computing + 134_217_728)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("reads version 2, and computes absent values", () =>
    Effect.gen(function* () {
      const { "general.file_type": _, ...fields } = smallModel.fields
      const gguf = yield* readBytes(writeGguf({ ...smallModel, version: 2, fields }))
      assert.strictEqual(gguf.version, 2)
      assert.strictEqual(gguf.quantisation, "Q8_0")
      assert.strictEqual(gguf.parameters, 2048)
      assert.strictEqual(gguf.vocabulary, 3)
      assert.strictEqual(gguf.chatTemplate, false)
      assert.strictEqual(gguf.kvBytesPerToken, 2 * 2 * (16 + 16) * 2)
      assert.strictEqual(gguf.name, "Small [31m model")
    })
  )

  it.effect("takes head counts by block, key lengths and the announced number of parameters", () =>
    Effect.gen(function* () {
      const gguf = yield* readBytes(
        writeGguf(
          changed({
            "general.file_type": uint32(15),
            "general.parameter_count": { type: "uint64", value: 7_615_616_512 },
            "llama.attention.head_count_kv": { type: "uint32s", value: [2, 0] },
            "llama.attention.key_length": uint32(128),
            "llama.attention.value_length": uint32(64),
            "tokenizer.chat_template": string("{{ messages }}".repeat(20_000))
          })
        )
      )
      assert.strictEqual(gguf.quantisation, "Q4_K_M")
      assert.strictEqual(gguf.parameters, 7_615_616_512)
      assert.strictEqual(gguf.kvBytesPerToken, 2 * (128 + 64) * 2)
      assert.isTrue(gguf.chatTemplate)
    })
  )

  it.effect("reads a header much longer than a chunk, without the weights", () =>
    Effect.gen(function* () {
      const tokens = Array.from({ length: 150_000 }, (_, index) => `token ${index}`)
      const path = yield* withFile(
        writeGguf(changed({ "tokenizer.ggml.tokens": { type: "strings", value: tokens } }))
      )
      const fs = yield* FileSystem.FileSystem
      yield* fs.truncate(path, 8 * 1024 ** 3)
      let read = 0
      const counting = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) =>
          Effect.map(fs.open(path, options), (file) => ({
            ...file,
            stat: file.stat,
            read: (buffer: Uint8Array, options?: FileSystem.File.ReadOptions) =>
              Effect.tap(file.read(buffer, options), (bytes) => Effect.sync(() => (read += bytes)))
          }))
      })
      const gguf = yield* Effect.provideService(Gguf.read(path), FileSystem.FileSystem, counting)
      assert.strictEqual(gguf.vocabulary, 150_000)
      assert.strictEqual(gguf.sizeBytes, 8 * 1024 ** 3)
      assert.isAbove(read, 2 * 1024 ** 2)
      assert.isBelow(read, 6 * 1024 ** 2)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("rejects files that are not models, with the reason", () =>
    Effect.gen(function* () {
      const count = (at: number, value: bigint) => {
        const bytes = Buffer.from(tiny)
        bytes.writeBigUInt64LE(value, at)
        return bytes
      }
      const version = (value: number) => writeGguf({ ...smallModel, version: value })
      const cases: ReadonlyArray<readonly [Uint8Array, string, RegExp]> = [
        [new Uint8Array(0), "cut_off", /header continues/],
        [Buffer.from("PK\u0003\u0004 not a model at all"), "not_gguf", /letters GGUF/],
        [version(1), "unsupported", /version is 1/],
        [version(4), "unsupported", /version is 4/],
        [version(0x0300_0000), "unsupported", /big-endian/],
        [count(8, 1n << 60n), "absurd", /announces \d+ tensors/],
        [count(16, 1n << 40n), "absurd", /announces \d+ metadata entries/],
        [count(24, 1n << 50n), "absurd", /string of/],
        [tiny.subarray(0, 100_000), "cut_off", /header continues/],
        [tiny.subarray(0, tiny.length - 1), "cut_off", /2648639 bytes of 2648640/],
        [writeGguf({ fields: {} }), "not_a_model", /no architecture/],
        [writeGguf({ ...smallModel, tensors: [], weights: 0 }), "not_a_model", /no weights/],
        [writeGguf(changed({ "general.type": string("adapter") })), "not_a_model", /'adapter'/],
        [
          writeGguf(changed({ "llama.context_length": string("many") })),
          "not_a_model",
          /llama\.context_length/
        ],
        [
          writeGguf(changed({ "llama.block_count": uint32(4_000_000_000) })),
          "absurd",
          /block_count is 4000000000/
        ],
        [writeGguf(changed({ "general.alignment": uint32(0) })), "absurd", /alignment/],
        [
          writeGguf(changed({ "split.no": uint32(1), "split.count": uint32(2) })),
          "later_part",
          /name the first/
        ],
        [
          writeGguf({ ...smallModel, tensors: [{ name: "t", dimensions: [2 ** 40, 2 ** 40], type: 0 }] }),
          "absurd",
          /larger than any machine/
        ],
        [
          writeGguf({ ...smallModel, tensors: [{ name: "t", dimensions: [1, 1, 1, 1, 1], type: 0 }] }),
          "absurd",
          /5 dimensions/
        ]
      ]
      for (const [bytes, kind, reason] of cases) {
        const refused = yield* refusal(bytes)
        assert.strictEqual(refused.kind, kind, refused.reason)
        assert.match(refused.reason, reason)
      }
    })
  )

  it.effect("rejects a folder, an absent file and a header of more than 64 MB", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      assert.strictEqual((yield* Effect.flip(Gguf.read(folder))).kind, "unreadable")
      const absent = yield* Effect.flip(Gguf.read(path.join(folder, "absent.gguf")))
      assert.strictEqual(
        absent.message,
        `${folder}/absent.gguf cannot be used as a model: it cannot be read: it does not exist; check the path (ENOENT)`
      )
      // Five strings of 15 MB each are within their own limit and beyond the header's.
      const long = Buffer.from("GGUF\u0003\0\0\0" + "\0".repeat(8) + "\u0005" + "\0".repeat(7), "latin1")
      const entry = Buffer.concat([
        Buffer.from("\u0001\0\0\0\0\0\0\0k\u0008\0\0\0", "latin1"),
        Buffer.alloc(8)
      ])
      entry.writeBigUInt64LE(15_728_640n, entry.length - 8)
      const file = path.join(folder, "long.gguf")
      yield* fs.writeFile(
        file,
        Buffer.concat([
          long,
          ...Array.from({ length: 5 }, () => Buffer.concat([entry, Buffer.alloc(15_728_640)]))
        ])
      )
      const refused = yield* Effect.flip(Gguf.read(file))
      assert.strictEqual(refused.kind, "absurd")
      assert.match(refused.reason, /header is longer than 67108864 bytes/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("sums the sizes of a split model's files, and names a missing one", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const part = (index: number) => `${folder}/big-0000${index}-of-00002.gguf`
      const first = writeGguf(changed({ "split.no": uint32(0), "split.count": uint32(2) }))
      const second = writeGguf({
        fields: { "split.no": uint32(1), "split.count": uint32(2) },
        tensors: smallModel.tensors ?? [],
        weights: 2176
      })
      yield* fs.writeFile(part(1), first)
      const missing = yield* Effect.flip(readModelHeader(part(1)))
      assert.deepStrictEqual(
        missing,
        new GgufError({
          path: part(1),
          kind: "part_missing",
          reason: `part 2 of 2 is missing (${part(2)}); download the model again, or copy the part to this folder`
        })
      )
      yield* fs.writeFile(part(2), second)
      const whole = yield* readModelHeader(part(1))
      assert.strictEqual(whole.sizeBytes, first.length + second.length)
      assert.strictEqual(whole.parameters, 4096)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect.prop(
    "any cut of a real model is told to be cut off",
    [Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: tiny.length - 1 })))],
    ([length]) =>
      Effect.map(refusal(tiny.subarray(0, length)), ({ kind }) => assert.strictEqual(kind, "cut_off")),
    { arbitrary: { runs: 60 } }
  )

  const byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
  const place = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 134_975 }))
  it.effect.prop(
    "random bytes, alone and in the header of a real model, give metadata or a GgufError, and no defect",
    [Schema.Array(byte), Schema.Array(Schema.Tuple([place, byte]))],
    ([noise, changes]) =>
      Effect.gen(function* () {
        const damaged = Buffer.from(tiny)
        for (const [at, value] of changes) damaged[at] = value
        const files = [
          Buffer.from(noise),
          Buffer.concat([Buffer.from("GGUF\u0003\0\0\0", "latin1"), Buffer.from(noise)]),
          damaged
        ]
        for (const bytes of files) {
          const outcome = yield* Effect.result(readBytes(bytes))
          if (outcome._tag === "Failure") assert.instanceOf(outcome.failure, GgufError)
          else assert.isTrue(Number.isSafeInteger(outcome.success.memoryBytes(512)))
        }
      }),
    { arbitrary: { runs: 150, size: 120 } }
  )
})
