import { assert } from "@effect/vitest"
import type { Cell } from "./Cell.ts"
import type { Asking, Event } from "./clients.ts"

/** Each event of a job came once, in order, from the first. */
export const hasContiguousEvents = (events: ReadonlyArray<Event>) => {
  const ids = events.map(({ id }) => id)
  assert.deepStrictEqual(
    ids,
    ids.map((_, index) => index + 1)
  )
}

/** The client got what the cell says; `sent` is the text that it had before the fault. */
export const hasOutcome = (
  { outcome }: Cell,
  asking: Asking,
  isWhole: boolean,
  sent: string,
  undisturbed: string
) => {
  const text = asking.text()
  const detail = JSON.stringify(asking.events().at(-1))
  switch (outcome) {
    case "whole":
      assert.isTrue(isWhole, detail)
      assert.strictEqual(text, undisturbed)
      break
    case "continued":
      assert.isTrue(isWhole, detail)
      assert.strictEqual(text.slice(0, sent.length), sent)
      assert.strictEqual(undisturbed.slice(0, sent.length), sent)
      assert.isAbove(text.length, sent.length)
      break
    case "broken":
      assert.isFalse(isWhole, detail)
      assert.isTrue(undisturbed.startsWith(text))
  }
}
