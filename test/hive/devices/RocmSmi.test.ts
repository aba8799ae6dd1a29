import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import { rocmSmi } from "../../../src/hive/devices/RocmSmi.ts"

const { parse } = rocmSmi

const parseRecorded = (name: string) =>
  FileSystem.FileSystem.use((fs) =>
    fs.readFileString(new URL(`data/${name}`, import.meta.url).pathname)
  ).pipe(Effect.map(parse), Effect.provide(NodeServices.layer))

describe("RocmSmi", () => {
  it.effect("reads the output of version 6", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* parseRecorded("rocm-6-one.json"), {
        gpus: [
          {
            backend: "rocm",
            index: 0,
            name: "Radeon RX 7900 XT",
            totalBytes: 21_458_059_264,
            freeBytes: 21_430_202_368,
            computeCapability: "gfx1100"
          }
        ],
        notes: []
      })
      const two = yield* parseRecorded("rocm-6-two.json")
      assert.deepStrictEqual(
        two.gpus.map(({ computeCapability, freeBytes, index, name }) => [
          index,
          name,
          freeBytes,
          computeCapability
        ]),
        [
          [0, "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", 16_470_949_888, "gfx1030"],
          [1, "Raphael", 41_029_632, "gfx1036"]
        ]
      )
      assert.deepStrictEqual(yield* parseRecorded("rocm-6-names.json"), { gpus: [], notes: ["'card0'"] })
    })
  )

  it.effect("reads the names of version 5, which differ in case", () =>
    Effect.gen(function* () {
      const { gpus, notes } = yield* parseRecorded("rocm-5-two.json")
      assert.deepStrictEqual(
        gpus.map(({ computeCapability, freeBytes, index, name }) => [
          index,
          name,
          freeBytes,
          computeCapability
        ]),
        [
          [0, "Arcturus GL-XL [AMD Instinct MI100]", 34_335_784_960, null],
          [1, "AMD GPU", 0, null]
        ]
      )
      assert.deepStrictEqual(notes, [])
    })
  )

  it.effect("reads the object after a warning, and numbers cards by their node as the runtime does", () =>
    Effect.gen(function* () {
      const { gpus, notes } = yield* parseRecorded("rocm-7-low-power.txt")
      assert.deepStrictEqual(
        gpus.map(({ computeCapability, index, name }) => [index, name, computeCapability]),
        [
          [0, "AMD Radeon RX 9070 XT", null],
          [1, "AMD Radeon AI PRO R9700", "gfx1201"]
        ]
      )
      assert.deepStrictEqual(notes, [])
    })
  )

  it.effect("skips unusable cards", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(parse(" \n"), { gpus: [], notes: [] })
      assert.deepStrictEqual(parse('{"system": {}}'), { gpus: [], notes: [] })
      assert.deepStrictEqual(yield* parseRecorded("rocm-no-data.txt"), {
        gpus: [],
        notes: ["text 'WARNING: No JSON data to report'"]
      })
      const { gpus, notes } = yield* parseRecorded("rocm-garbage.txt")
      assert.deepStrictEqual(
        gpus.map(({ freeBytes, index, name }) => [index, name, freeBytes]),
        [[4, "AMD GPU", 1024 ** 3]]
      )
      assert.deepStrictEqual(notes, [
        "'card0'",
        "'card1'",
        "'card2'",
        "'card3'",
        "'AMD GPU' has the same index 4 as another GPU"
      ])
    })
  )

  it.prop(
    "never throws, and gives each index once",
    [
      Schema.String,
      Schema.Array(Schema.Literals(["0", '"card1"', ":", "{", "}", ",", '"VRAM"', "\n", "null"]))
    ],
    ([text, pieces]) => {
      for (const output of [text, pieces.join(""), `{"card0":${pieces.join("")}}`]) {
        const indexes = parse(output).gpus.map(({ index }) => index)
        assert.strictEqual(new Set(indexes).size, indexes.length)
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
