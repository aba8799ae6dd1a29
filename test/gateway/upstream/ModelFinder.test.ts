import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ModelFinder } from "../../../src/gateway/upstream/ModelFinder.ts"
import { OperationRunner } from "../../../src/gateway/upstream/OperationRunner.ts"
import { pickModel, publicModels, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { Ticker } from "../../../src/job/log/Follower.ts"
import { OperationRouter } from "../../../src/job/OperationRouter.ts"
import type { Work } from "../../../src/job/Submission.ts"
import { hiveCommand } from "../../../src/operation/Routing.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { storedModel } from "../../support/gateway.ts"

/** A finder over a fake fleet that has a model once its download has ended. */
const finding = (download: boolean, work: Work = () => Effect.void) => {
  const asked: Array<string> = []
  const models = () =>
    publicModels([{ hive: "atlas", models: asked.map((body) => storedModel(JSON.parse(body).model)) }], {
      small: { model: "hf:org/small" }
    })
  const layer = ModelFinder.layerNoDeps.pipe(
    Layer.provide(OperationRunner.layerNoDeps),
    Layer.provide(
      Layer.mergeAll(
        Layer.mock(Upstream)({
          find: (name) => Effect.suspend(() => Effect.fromResult(pickModel(models(), name))),
          complete: () => () => Effect.void
        }),
        Layer.succeed(
          OperationRouter,
          OperationRouter.of({
            route: (body) =>
              Effect.sync(() => {
                asked.push(body)
                return { operation: "model_download", routing: hiveCommand, router: "test", work }
              })
          })
        ),
        Jobs.layer,
        Ticker.layer
      )
    ),
    Layer.provide(
      Settings.layerDefaults({
        scheduler: { download },
        aliases: { small: { model: "hf:org/small" } }
      })
    )
  )
  const find = (name: string) =>
    Effect.provide(
      ModelFinder.use(({ find }) => find(name)),
      layer
    )
  return { asked, find }
}

describe("ModelFinder", () => {
  it.live("downloads nothing unless that is allowed", () =>
    Effect.gen(function* () {
      const { asked, find } = finding(false)
      const error = yield* Effect.flip(find("hf:org/small"))
      assert.strictEqual(error._tag, "ModelUnknown")
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("brings a model that no hive has, by the id behind its alias", () =>
    Effect.gen(function* () {
      const { asked, find } = finding(true)
      const { id, name } = yield* find("small")
      assert.deepStrictEqual([name, id], ["small", "hf:org/small"])
      assert.deepStrictEqual(asked, [
        `{"operation":"model_download","hive_id":"auto","model":"hf:org/small"}`
      ])
    })
  )

  it.live("fails as the download failed", () =>
    Effect.gen(function* () {
      const { find } = finding(true, () => Effect.fail({ _tag: "DiskFull", message: "The disk is full" }))
      const error = yield* Effect.flip(find("hf:org/small"))
      assert.deepStrictEqual(
        [error._tag, "code" in error ? error.code : undefined, error.message],
        ["JobFailed", "DiskFull", "The disk is full"]
      )
    })
  )

  it.live("has no file of a hive's machine read", () =>
    Effect.gen(function* () {
      const { asked, find } = finding(true)
      for (const name of ["file:/etc/passwd", "/etc/passwd", "FILE:/x.gguf", "../x/y", "x", "https:/x"]) {
        assert.strictEqual((yield* Effect.flip(find(name)))._tag, "ModelUnknown", name)
      }
      assert.deepStrictEqual(asked, [])
    })
  )
})
