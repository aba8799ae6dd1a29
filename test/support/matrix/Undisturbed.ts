import { Context, Effect, Layer } from "effect"
import type { Cell } from "./Cell.ts"
import { clients } from "./clients.ts"
import { MatrixFleet } from "./MatrixFleet.ts"

const answerTo = (client: Cell["client"], url: string) =>
  Effect.gen(function* () {
    const asking = yield* clients[client](url)
    if (!(yield* asking.end)) throw new Error(`${client} fails without a fault`)
    return asking.text()
  }).pipe(Effect.scoped)

/** What each client gets when nothing fails. */
export class Undisturbed extends Context.Service<Undisturbed, Readonly<Record<Cell["client"], string>>>()(
  "rbee/test/support/matrix/Undisturbed"
) {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const { queen } = yield* MatrixFleet
      return Undisturbed.of({
        infer: yield* answerTo("infer", queen.url),
        "streamed chat": yield* answerTo("streamed chat", queen.url),
        "whole chat": yield* answerTo("whole chat", queen.url)
      })
    })
  )
}
