import Anthropic, { APIError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { daemons, Endpoints } from "../../../support/endpoints.ts"

const question = "Tell me of Mr. Darcy."
const messages = [{ role: "user" as const, content: question }]
const pick = { model: "rbee:tiny", messages, temperature: 0, max_tokens: 24 }

const lookUp = {
  name: "look_up",
  description: "Looks a text up",
  input_schema: { type: "object" as const, properties: { text: { type: "string" } } }
}

const failure = (promise: PromiseLike<unknown>) =>
  Effect.promise(async () => {
    const error: unknown = await promise.then(
      () => undefined,
      (error: unknown) => error
    )
    if (error instanceof APIError) return error
    throw new Error(`it failed otherwise: ${String(error)}`)
  })

layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })(
  "the official Anthropic client",
  (it) => {
    for (const daemon of daemons) {
      const withClient = <A>(
        use: (client: Anthropic, endpoints: Endpoints["Service"], url: string) => Effect.Effect<A>
      ) =>
        Effect.gen(function* () {
          const endpoints = yield* Endpoints
          const client = new Anthropic({ baseURL: endpoints[daemon], apiKey: "none", maxRetries: 0 })
          return yield* use(client, endpoints, endpoints[daemon])
        })

      describe(`at a ${daemon}`, () => {
        it.effect("lists and shows models", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { data } = await client.models.list()
              assert.deepStrictEqual(
                data.map(({ id }) => id),
                ["tooly", "rbee:tiny", "toolsmith"]
              )
              assert.strictEqual((await client.models.retrieve("rbee:tiny")).type, "model")
            })
          )
        )

        it.effect("gets the same text streamed and complete, with its usage", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const whole = await client.messages.create(pick)
              const [block] = whole.content
              assert.isTrue(block?.type === "text" && block.text.length > 0)
              assert.include(["max_tokens", "end_turn"], whole.stop_reason)
              const stream = client.messages.stream(pick)
              let streamed = ""
              stream.on("text", (text) => {
                streamed += text
              })
              const final = await stream.finalMessage()
              assert.strictEqual(streamed, block?.type === "text" ? block.text : "")
              assert.deepStrictEqual(final.content, whole.content)
              assert.strictEqual(final.stop_reason, whole.stop_reason)
              assert.strictEqual(final.usage.output_tokens, whole.usage.output_tokens)
            })
          )
        )

        it.effect("counts tokens as the engine counts them", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { input_tokens } = await client.messages.countTokens({ model: "rbee:tiny", messages })
              const { usage } = await client.messages.create(pick)
              // The prompt is in the worker's cache by now, and Anthropic counts what is read from there apart.
              assert.isAbove(usage.cache_read_input_tokens ?? 0, 0)
              assert.strictEqual(input_tokens, usage.input_tokens + (usage.cache_read_input_tokens ?? 0))
            })
          )
        )

        it.effect("gets the stop sequence that ended the answer", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { content } = await client.messages.create(pick)
              const [block] = content
              const text = block?.type === "text" ? block.text : ""
              const stop = text.trim().split(" ").at(3) ?? ""
              assert.isNotEmpty(stop)
              for (const stop_sequences of [[stop], ["never said", stop], [stop, "\u0007"]]) {
                const asked = { ...pick, stop_sequences }
                const whole = await client.messages.create(asked)
                assert.deepInclude(whole, { stop_reason: "stop_sequence", stop_sequence: stop })
                const final = await client.messages.stream(asked).finalMessage()
                assert.deepInclude(final, { stop_reason: "stop_sequence", stop_sequence: stop })
                assert.deepStrictEqual(final.content, whole.content)
              }
              const other = await client.messages.create({ ...pick, stop_sequences: ["never said"] })
              assert.notStrictEqual(other.stop_reason, "stop_sequence")
              assert.isNull(other.stop_sequence)
            })
          )
        )

        it.effect("has tools called by a capable engine, and sends their results", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const asked = { model: "tooly", max_tokens: 64, messages, tools: [lookUp] }
              const whole = await client.messages.create(asked)
              const use = whole.content.find(({ type }) => type === "tool_use")
              assert.strictEqual(whole.stop_reason, "tool_use")
              assert.isTrue(use?.type === "tool_use")
              if (use?.type !== "tool_use") return
              assert.deepStrictEqual([use.name, use.input], ["look_up", { text: question }])
              const final = await client.messages.stream(asked).finalMessage()
              assert.deepStrictEqual(final.content, whole.content)
              const told = await client.messages.create({
                ...asked,
                messages: [
                  ...messages,
                  { role: "assistant", content: whole.content },
                  { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "42" }] }
                ]
              })
              assert.deepInclude(told.content[0], { type: "text", text: "The tool said 42" })
            })
          )
        )

        it.effect("stops the work with an abort", () =>
          withClient((client, { idle }, url) =>
            Effect.gen(function* () {
              yield* Effect.promise(async () => {
                const stream = client.messages.stream({ ...pick, max_tokens: 400 })
                stream.on("text", () => stream.abort())
                await stream.done().catch(() => undefined)
              })
              yield* idle(url)
            })
          )
        )

        it.effect("maps errors to its own error classes", () =>
          withClient((client) =>
            Effect.gen(function* () {
              const unknown = yield* failure(client.messages.create({ ...pick, model: "none" }))
              assert.instanceOf(unknown, NotFoundError)
              assert.include(unknown.message, "Model 'none' is not on any hive")
              const tools = yield* failure(client.messages.create({ ...pick, tools: [lookUp] }))
              assert.instanceOf(tools, BadRequestError)
              const long = yield* failure(
                client.messages.create({
                  ...pick,
                  messages: [{ role: "user", content: "word ".repeat(900) }]
                })
              )
              assert.instanceOf(long, BadRequestError)
            })
          )
        )
      })
    }
  }
)
