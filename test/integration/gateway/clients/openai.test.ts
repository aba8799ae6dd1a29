import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import OpenAI, { APIError, BadRequestError, NotFoundError } from "openai"
import { daemons, Endpoints } from "../../../support/endpoints.ts"

const model = "rbee:tiny"
const messages = [{ role: "user" as const, content: "Tell me of Mr. Darcy." }]
const pick = { model, messages, temperature: 0, max_tokens: 24 }

const answer = {
  type: "object",
  properties: { name: { type: "string", enum: ["Emma", "Jane"] }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false
}

const weather = {
  type: "function" as const,
  function: { name: "look_up", parameters: { type: "object", properties: { text: { type: "string" } } } }
}

const failure = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => assert.fail("it did not fail"),
      (error: unknown) => {
        if (error instanceof APIError) return error
        throw error
      }
    )
  )

layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })(
  "the official OpenAI client",
  (it) => {
    for (const daemon of daemons) {
      const withClient = <A>(
        use: (client: OpenAI, endpoints: Endpoints["Service"], url: string) => Effect.Effect<A>
      ) =>
        Effect.gen(function* () {
          const endpoints = yield* Endpoints
          const client = new OpenAI({ baseURL: `${endpoints[daemon]}/v1`, apiKey: "none", maxRetries: 0 })
          return yield* use(client, endpoints, endpoints[daemon])
        })

      describe(`at a ${daemon}`, () => {
        it.effect("lists and shows models", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const list = await client.models.list()
              assert.deepStrictEqual(
                list.data.map(({ id }) => id),
                ["tooly", model, "toolsmith"]
              )
              assert.strictEqual((await client.models.retrieve(model)).owned_by, "rbee")
            })
          )
        )

        it.effect("gets the same text streamed and complete, and the usage if requested", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const whole = await client.chat.completions.create(pick)
              const text = whole.choices[0]?.message.content
              assert.isNotEmpty(text)
              const stream = await client.chat.completions.create({
                ...pick,
                stream: true,
                stream_options: { include_usage: true }
              })
              let streamed = ""
              let usage: OpenAI.CompletionUsage | undefined
              for await (const chunk of stream) {
                streamed += chunk.choices[0]?.delta.content ?? ""
                usage = chunk.usage ?? usage
              }
              assert.strictEqual(streamed, text)
              assert.deepStrictEqual(
                [usage?.prompt_tokens, usage?.completion_tokens],
                [whole.usage?.prompt_tokens, whole.usage?.completion_tokens]
              )
            })
          )
        )

        it.effect("gets several choices, seeded answers, stops and log probabilities", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const several = { ...pick, temperature: 1, n: 2, seed: 7 }
              const { choices } = await client.chat.completions.create(several)
              assert.deepStrictEqual(
                choices.map(({ index }) => index),
                [0, 1]
              )
              const again = await client.chat.completions.create(several)
              assert.deepStrictEqual(
                again.choices.map(({ message }) => message.content),
                choices.map(({ message }) => message.content)
              )
              const prompt = { model, prompt: "It was", temperature: 0, max_tokens: 12 }
              const free = await client.completions.create({ ...prompt, logprobs: 2 })
              const [choice] = free.choices
              assert.strictEqual(choice?.logprobs?.tokens?.join(""), choice?.text)
              const word = choice?.text.trim().split(" ")[2] ?? ""
              const stopped = await client.completions.create({ ...prompt, stop: word })
              assert.strictEqual(stopped.choices[0]?.finish_reason, "stop")
              assert.notInclude(stopped.choices[0]?.text, word)
            })
          )
        )

        it.effect("gets JSON that conforms to its schema", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const { choices } = await client.chat.completions.create({
                ...pick,
                max_tokens: 100,
                response_format: {
                  type: "json_schema",
                  json_schema: { name: "answer", schema: answer, strict: true }
                }
              })
              const said = JSON.parse(choices[0]?.message.content ?? "")
              assert.deepStrictEqual(Object.keys(said), ["name", "age"])
              assert.include(["Emma", "Jane"], said.name)
            })
          )
        )

        it.effect("has tools called by a capable engine, streamed and complete", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const asked = { model: "tooly", messages, tools: [weather] }
              const { choices } = await client.chat.completions.create(asked)
              const [call] = choices[0]?.message.tool_calls ?? []
              assert.strictEqual(choices[0]?.finish_reason, "tool_calls")
              assert.isTrue(call?.type === "function")
              if (call?.type !== "function") return
              assert.deepStrictEqual(
                [call.function.name, JSON.parse(call.function.arguments)],
                ["look_up", { text: messages[0]?.content }]
              )
              const streamed = client.chat.completions.stream(asked)
              const final = await streamed.finalChatCompletion()
              const [streamedCall] = final.choices[0]?.message.tool_calls ?? []
              assert.isTrue(streamedCall?.type === "function")
              if (streamedCall?.type !== "function") return
              assert.strictEqual(streamedCall.id, call.id)
              assert.deepInclude(streamedCall.function, call.function)
              const told = await client.chat.completions.create({
                model: "tooly",
                messages: [
                  ...messages,
                  { role: "assistant", tool_calls: [call] },
                  { role: "tool", tool_call_id: call.id, content: "42" }
                ]
              })
              assert.strictEqual(told.choices[0]?.message.content, "The tool said 42")
            })
          )
        )

        it.effect("gets a clear error if the engine has no tools", () =>
          withClient((client) =>
            Effect.map(failure(client.chat.completions.create({ ...pick, tools: [weather] })), (error) => {
              assert.instanceOf(error, BadRequestError)
              assert.deepStrictEqual([error.code, error.param], ["unsupported_parameter", "tools"])
              assert.include(error.message, "llama-server")
            })
          )
        )

        it.effect("gets responses, streamed and complete, with and without tools", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const asked = { model, input: "Tell me of Mr. Darcy.", temperature: 0, max_output_tokens: 16 }
              const whole = await client.responses.create(asked)
              assert.isNotEmpty(whole.output_text)
              assert.include(["completed", "incomplete"], whole.status)
              const events: Array<string> = []
              let streamed = ""
              for await (const event of await client.responses.create({ ...asked, stream: true })) {
                events.push(event.type)
                if (event.type === "response.output_text.delta") streamed += event.delta
              }
              assert.strictEqual(streamed, whole.output_text)
              assert.deepStrictEqual(events.slice(0, 2), ["response.created", "response.in_progress"])
              assert.include(["response.completed", "response.incomplete"], events.at(-1))
              const { name, parameters } = weather.function
              const called = await client.responses
                .stream({
                  model: "tooly",
                  input: asked.input,
                  tools: [{ type: "function", name, parameters, strict: false }]
                })
                .finalResponse()
              const [call] = called.output
              assert.isTrue(call?.type === "function_call")
              if (call?.type !== "function_call") return
              assert.deepStrictEqual(
                [call.name, JSON.parse(call.arguments)],
                ["look_up", { text: asked.input }]
              )
              const told = await client.responses.create({
                model: "tooly",
                input: [
                  { role: "user", content: asked.input },
                  { type: "function_call", call_id: call.call_id, name, arguments: call.arguments },
                  { type: "function_call_output", call_id: call.call_id, output: "42" }
                ]
              })
              assert.strictEqual(told.output_text, "The tool said 42")
            })
          )
        )

        it.effect("gets an error for a stored response, because none is kept", () =>
          withClient((client) =>
            Effect.gen(function* () {
              const created = client.responses.create({
                model,
                input: "Hi",
                store: true,
                max_output_tokens: 2
              })
              const response = yield* Effect.promise(() => created)
              assert.propertyVal(response, "store", false)
              const error = yield* failure(client.responses.retrieve(response.id))
              assert.deepStrictEqual([error.status, error.code], [404, "unknown_url"])
            })
          )
        )

        it.effect("gets embeddings", () =>
          withClient((client) =>
            Effect.promise(async () => {
              const input = ["one", "two"]
              // The client asks for base64 by itself.
              const packed = await client.embeddings.create({ model, input })
              const plain = await client.embeddings.create({ model, input, encoding_format: "float" })
              assert.lengthOf(packed.data, 2)
              for (const [index, { embedding }] of plain.data.entries()) {
                assert.closeTo(packed.data[index]?.embedding[3] ?? 0, embedding[3] ?? 1, 1e-5)
              }
            })
          )
        )

        it.effect("stops the work by disconnecting", () =>
          withClient((client, { idle }, url) =>
            Effect.gen(function* () {
              yield* Effect.promise(async () => {
                const stream = await client.chat.completions.create({
                  ...pick,
                  stream: true,
                  max_tokens: 400
                })
                for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
              })
              yield* idle(url)
            })
          )
        )

        it.effect("maps errors to its own error classes", () =>
          withClient((client) =>
            Effect.gen(function* () {
              const unknown = yield* failure(client.chat.completions.create({ ...pick, model: "none" }))
              assert.instanceOf(unknown, NotFoundError)
              assert.strictEqual(unknown.code, "model_not_found")
              const long = yield* failure(
                client.chat.completions.create({
                  ...pick,
                  messages: [{ role: "user", content: "word ".repeat(900) }]
                })
              )
              assert.instanceOf(long, BadRequestError)
              assert.strictEqual(long.code, "context_length_exceeded")
              const wrong = yield* failure(client.chat.completions.create({ ...pick, temperature: -1 }))
              assert.deepStrictEqual([wrong.status, wrong.param], [400, "temperature"])
            })
          )
        )
      })
    }
  }
)
