import { Effect, Layer, Stream } from "effect"
import { Client, hiveLayer, spawnTiny, inferTiny, resultOf } from "../test/support/hive.ts"
import { mkdtempSync } from "node:fs"
const home = mkdtempSync("/tmp/rbee-probe-")
await Effect.runPromise(Effect.gen(function* () {
  const c = yield* Client
  yield* c.events(spawnTiny)
  for (const prompt of ["The sea", "It was a dark night", "It was a dark night and the captain said that"]) {
    for (let i = 0; i < 3; i++) {
      const e = yield* c.events({ ...inferTiny, max_tokens: 480, prompt, temperature: 0 })
      console.log(prompt, JSON.parse(resultOf(e)).usage.completion_tokens)
    }
  }
  let t
  for (let i = 0; i < 10; i++) {
    const id = yield* c.submit({ ...inferTiny, max_tokens: 480, prompt: "It was a dark night", temperature: 0 })
    yield* c.follow(id).pipe(Stream.takeUntil((e) => e.kind === "token"), Stream.runDrain)
    t = performance.now(); yield* c.cancel(id).pipe(Effect.ignoreCause)
    console.log("cancel ms", (performance.now() - t).toFixed(1))
  }
}).pipe(Effect.provide(Client.layer.pipe(Layer.provideMerge(hiveLayer({ home }))))))
