import { describe, layer } from "@effect/vitest"
import { Layer } from "effect"
import { nameOf } from "../support/matrix/Cell.ts"
import { cells } from "../support/matrix/cells.ts"
import { MatrixFleet } from "../support/matrix/MatrixFleet.ts"
import { runCell } from "../support/matrix/runCell.ts"
import { Undisturbed } from "../support/matrix/Undisturbed.ts"

describe("the kill matrix", () => {
  layer(Undisturbed.layer.pipe(Layer.provideMerge(MatrixFleet.layer)), {
    timeout: "60 seconds",
    excludeTestServices: true
  })((it) => {
    for (const cell of cells) it.effect(nameOf(cell), () => runCell(cell))
  })
})
