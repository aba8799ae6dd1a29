import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, FileSystem, Layer } from "effect"
import { Models } from "../../src/hive/models/Models.ts"
import { smallModel, writeGguf } from "../support/ggufWriter.ts"

const small = writeGguf(smallModel)

describe("Models", () => {
  it.live("lists 500 models in under 100 ms once they were read", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const models = Context.get(yield* Layer.build(Models.layerNoDeps(folder)), Models)
      for (let index = 0; index < 500; index++) {
        const inside = `${folder}/${index % 20}`
        yield* fs.makeDirectory(inside, { recursive: true })
        yield* fs.writeFile(`${inside}/m${index}.gguf`, small)
      }
      const timed = Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        assert.strictEqual((yield* models.list).length, 501)
        return (yield* Clock.currentTimeMillis) - before
      })
      yield* timed
      // The best of many: other tests run on the same cores.
      const warm = yield* Effect.all(Array.from({ length: 20 }, () => timed))
      assert.isBelow(Math.min(...warm), 100)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
