import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Ollama } from "ollama"
import { daemons, Endpoints } from "../../../support/endpoints.ts"

const question = "Tell me of Mr. Darcy."
const messages = [{ role: "user", content: question }]
const options = { temperature: 0, num_predict: 24 }
const pick = { model: "rbee:tiny", messages, options }

const lookUp = {
  type: "function",
  function: {
    name: "look_up",
    description: "Looks a text up",
    parameters: { type: "object", properties: { text: { type: "string" } } }
  }
}

const failure = (promise: Promise<unknown>) =>
  Effect.promise(async () => {
    const error: unknown = await promise.then(
      () => undefined,
      (error: unknown) => error
    )
    if (error instanceof Error) return error
    throw new Error("it did not fail")
  })

/** Returns when the tiny model is on no worker; the test's own limit ends the wait. */
const untilGone = async (loaded: () => Promise<ReadonlyArray<string>>): Promise<void> => {
  while ((await loaded()).includes("rbee:tiny")) await new Promise((resume) => setImmediate(resume))
}

layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })(
  "the official Ollama client",
  (it) => {
    for (const daemon of daemons) {
      const withClient = <A>(
        use: (client: Ollama, endpoints: Endpoints["Service"], url: string) => Effect.Effect<A>
      ) =>
        Effect.gen(function* () {
          const endpoints = yield* Endpoints
          return yield* use(new Ollama({ host: endpoints[daemon] }), endpoints, endpoints[daemon])
        })

      describe(`at a ${daemon}`, () => {
        it.effect("loads a model without a prompt, and unloads it unless it is in use", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const loaded = async () => (await client.ps()).models.map(({ name }) => name)
              const empty = { model: "rbee:tiny", messages: [] }
              assert.strictEqual((await client.chat(empty)).done_reason, "load")
              assert.include(await loaded(), "rbee:tiny")
              const running = await client.chat({
                ...pick,
                options: { temperature: 0, num_predict: 400 },
                stream: true
              })
              let pieces = 0
              let reason: string | undefined
              for await (const { done, done_reason } of running) {
                if (++pieces === 2) {
                  const kept = await client.chat({ ...empty, keep_alive: 0 })
                  assert.strictEqual(kept.done_reason, "unload")
                }
                if (done) reason = done_reason
              }
              assert.isAbove(pieces, 20)
              assert.include(["length", "stop"], reason)
              const gone = await client.generate({ model: "tiny:latest", prompt: "", keep_alive: "0s" })
              assert.deepStrictEqual([gone.done, gone.done_reason, gone.response], [true, "unload", ""])
              await untilGone(loaded)
              assert.strictEqual((await client.chat({ ...pick, keep_alive: 0 })).done, true)
              await untilGone(loaded)
            })
          )
        )

        it.effect("lists and shows models, also the loaded ones, and the version", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { models } = await client.list()
              assert.includeMembers(
                models.map(({ name }) => name),
                ["tooly", "rbee:tiny"]
              )
              const tiny = await client.show({ model: "rbee:tiny" })
              assert.strictEqual(tiny.details.quantization_level, "Q8_0")
              await client.chat(pick)
              const loaded = await client.ps()
              assert.include(
                loaded.models.map(({ name }) => name),
                "rbee:tiny"
              )
              assert.match((await client.version()).version, /^\d+\.\d+\.\d+/)
            })
          )
        )

        it.effect("gets the same text streamed and complete, with durations and counts", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const whole = await client.chat(pick)
              assert.isNotEmpty(whole.message.content)
              assert.isTrue(whole.done && whole.eval_count > 0 && whole.total_duration > 0)
              let text = ""
              for await (const part of await client.chat({ ...pick, stream: true })) {
                text += part.message.content
              }
              assert.strictEqual(text, whole.message.content)
              const generated = await client.generate({
                model: "rbee:tiny",
                prompt: "It was a truth",
                raw: true,
                options
              })
              assert.isNotEmpty(generated.response)
            })
          )
        )

        it.effect("gets JSON that conforms to its schema", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { message } = await client.chat({
                ...pick,
                options: { temperature: 0 },
                format: {
                  type: "object",
                  properties: { name: { type: "string", enum: ["Emma", "Jane"] } },
                  required: ["name"],
                  additionalProperties: false
                }
              })
              assert.include(["Emma", "Jane"], JSON.parse(message.content).name)
            })
          )
        )

        it.effect("has tools called by a capable engine, and sends their results", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const asked = { model: "tooly", messages, tools: [lookUp] }
              const { message } = await client.chat(asked)
              const [call] = message.tool_calls ?? []
              assert.deepStrictEqual(call?.function, { name: "look_up", arguments: { text: question } })
              let streamed: unknown
              for await (const part of await client.chat({ ...asked, stream: true })) {
                streamed = part.message.tool_calls?.[0]?.function ?? streamed
              }
              assert.deepStrictEqual(streamed, call?.function)
              const told = await client.chat({
                model: "tooly",
                messages: [...messages, message, { role: "tool", content: "42", tool_name: "look_up" }]
              })
              assert.strictEqual(told.message.content, "The tool said 42")
            })
          )
        )

        it.effect("gets embeddings", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { embeddings } = await client.embed({ model: "rbee:tiny", input: ["one", "two"] })
              assert.lengthOf(embeddings, 2)
              assert.notDeepEqual(embeddings[0], embeddings[1])
            })
          )
        )

        it.effect("stops the work with an abort", () =>
          withClient((client, { idle }, url) =>
            Effect.gen(function* () {
              yield* Effect.promise(async () => {
                const stream = await client.chat({
                  ...pick,
                  stream: true,
                  options: { temperature: 0, num_predict: 400 }
                })
                try {
                  for await (const _part of stream) stream.abort()
                } catch (error) {
                  assert.strictEqual(error instanceof Error ? error.name : error, "AbortError")
                }
              })
              yield* idle(url)
            })
          )
        )

        it.effect("gets an error with the reason", () =>
          withClient((client) =>
            Effect.gen(function* () {
              const unknown = yield* failure(client.chat({ ...pick, model: "none" }))
              assert.include(unknown.message, "Model 'none' is not on any hive")
              const tools = yield* failure(client.chat({ ...pick, tools: [lookUp] }))
              assert.include(tools.message, "llama-server")
              const used = yield* failure(client.delete({ model: "rbee:tiny" }))
              assert.include(used.message, "rbee:tiny")
              const pulled = yield* failure(client.pull({ model: "file:/etc/passwd" }))
              assert.isNotEmpty(pulled.message)
            })
          )
        )
      })
    }
  }
)
