import { readFileSync } from "node:fs"
import Anthropic from "@anthropic-ai/sdk"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import OpenAI from "openai"
import { boundUrl } from "../../../../src/daemon/DaemonAddress.ts"
import { ask } from "../../../support/daemon.ts"
import { Endpoints } from "../../../support/endpoints.ts"
import { hiveLayer, temporaryHome } from "../../../support/hive.ts"
import {
  addInstructModel,
  describeWithLlamaServer,
  instructModel,
  llamaServerSettings,
  withTools
} from "../../../support/llamaServer.ts"
import { QueenClient, queenLayer } from "../../../support/queen.ts"
import { until } from "../../../support/until.ts"

const Shapes = Schema.Struct({
  program: Schema.String,
  version: Schema.String,
  requests: Schema.Array(
    Schema.Struct({
      path: Schema.String,
      headers: Schema.Record(Schema.String, Schema.String),
      body: Schema.Record(Schema.String, Schema.Unknown)
    })
  )
})
const readShapes = Schema.decodeUnknownSync(Schema.fromJsonString(Shapes))
type Shape = (typeof Shapes.Type)["requests"][number]

const programOf = (name: string) => {
  const shapes = readShapes(readFileSync(new URL(`shapes/${name}.json`, import.meta.url), "utf8"))
  return { name, version: shapes.version, requests: shapes.requests }
}
const programs = ["claude-code", "codex", "opencode"].map(programOf)

/** The requests as they were recorded; the models and the lengths are the test's. */
const replay = (url: string, { body, headers, path }: Shape, changes: Readonly<Record<string, unknown>>) =>
  Effect.promise(async () => {
    const limit = "max_tokens" in body ? { max_tokens: 24 } : { max_output_tokens: 24 }
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers,
      body: JSON.stringify({ ...body, ...limit, ...changes }),
      signal: AbortSignal.timeout(60_000)
    })
    return { status: response.status, text: await response.text() }
  })

const hasCalls = ({ body }: Shape) => /"(tool_use|tool_calls|function_call)"/.test(JSON.stringify(body))

const eventsOf = (text: string) =>
  text
    .split("\n\n")
    .filter((frame) => frame !== "" && !frame.startsWith(":"))
    .map((frame) => {
      const lines = frame.split("\n")
      const data = lines.find((line) => line.startsWith("data: "))?.slice("data: ".length) ?? ""
      return {
        name: lines.find((line) => line.startsWith("event: "))?.slice("event: ".length),
        data: data === "[DONE]" ? data : JSON.parse(data)
      }
    })
    .filter(({ name }) => name !== "ping")

/** Whether a stream is complete and in the order that the API documents. */
const checkStream = (path: string, text: string) => {
  const events = eventsOf(text)
  const names = events.map(({ name }) => name ?? "")
  if (path.startsWith("/v1/messages")) {
    assert.strictEqual(names[0], "message_start")
    assert.deepStrictEqual(names.slice(-2), ["message_delta", "message_stop"])
    assert.strictEqual(
      names.filter((name) => name === "content_block_start").length,
      names.filter((name) => name === "content_block_stop").length
    )
    return events.at(-2)?.data.delta.stop_reason
  }
  if (path.startsWith("/v1/responses")) {
    assert.deepStrictEqual(names.slice(0, 2), ["response.created", "response.in_progress"])
    assert.deepStrictEqual(
      events.map(({ data }) => data.sequence_number),
      events.map((_, index) => index)
    )
    assert.include(["response.completed", "response.incomplete"], names.at(-1))
    return events.at(-1)?.data.response.status
  }
  assert.strictEqual(events.at(-1)?.data, "[DONE]")
  assert.isTrue(events.some(({ data }) => data.usage?.total_tokens > 0))
  return events
    .flatMap(({ data }) => data.choices ?? [])
    .map(({ finish_reason }) => finish_reason)
    .find(Boolean)
}

layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })(
  "recorded requests of programs, to the built-in engine,",
  (it) => {
    for (const { name, requests, version } of programs) {
      it.effect(`of ${name} ${version} without its tools are answered`, () =>
        Effect.gen(function* () {
          const { hive, queen } = yield* Endpoints
          for (const url of [queen, hive]) {
            for (const request of requests) {
              const { status, text } = yield* replay(url, request, {
                model: "rbee:tiny",
                tools: undefined,
                tool_choice: undefined
              })
              // The small model's template has no place for calls in the history.
              if (hasCalls(request)) {
                assert.strictEqual(status, 400, text)
                assert.include(text, "tool_calls")
              } else {
                assert.strictEqual(status, 200, text)
                assert.isNotEmpty(checkStream(request.path, text))
              }
            }
          }
        })
      )

      it.effect(`of ${name} ${version} with its tools are rejected in the client's form`, () =>
        Effect.gen(function* () {
          const { queen } = yield* Endpoints
          const request = requests.findLast(({ body }) => body["tools"] !== undefined)
          if (request === undefined) throw new Error("no recorded request has tools")
          const { status, text } = yield* replay(queen, request, { model: "rbee:tiny" })
          const { error } = JSON.parse(text)
          assert.deepStrictEqual([status, error.type], [400, "invalid_request_error"])
          assert.include(error.message, "llama-server")
        })
      )

      it.effect(`of ${name} ${version} for an unknown model get 404 in the client's form`, () =>
        Effect.gen(function* () {
          const { queen } = yield* Endpoints
          for (const request of requests) {
            const { status, text } = yield* replay(queen, request, { model: "no-such-model" })
            const { error, type } = JSON.parse(text)
            assert.strictEqual(status, 404)
            assert.include(error.message, "no-such-model")
            if (request.path.startsWith("/v1/messages")) {
              assert.deepStrictEqual([type, error.type], ["error", "not_found_error"])
            } else assert.strictEqual(error.code, "model_not_found")
          }
        })
      )
    }
  }
)

/** A queen and a hive whose workers run llama-server. */
class LlamaEndpoints extends Context.Service<LlamaEndpoints, { readonly url: string }>()(
  "rbee/test/integration/gateway/clients/shapes.test/LlamaEndpoints"
) {
  static readonly layer = Layer.effect(
    LlamaEndpoints,
    Effect.gen(function* () {
      // What the README advises: the names that a program asks for are aliases.
      const asked = ["claude-opus-4-8", "gpt-5-codex", "fast"]
      const aliases = Object.fromEntries(asked.map((name) => [name, { model: instructModel }]))
      const settings = { ...llamaServerSettings(withTools), aliases }
      const queen = yield* Layer.build(
        QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ home: yield* temporaryHome, settings })))
      )
      const { url } = Context.get(queen, QueenClient)
      const home = yield* temporaryHome
      yield* addInstructModel(home)
      const hive = yield* Layer.build(hiveLayer({ home, id: "atlas", queenUrl: url, settings }))
      yield* Effect.provideContext(boundUrl, hive)
      yield* Effect.orDie(until(ask(url, { path: "/v1/models" }), ({ text }) => text.includes("fast")))
      return LlamaEndpoints.of({ url })
    })
  )
}

const models: Readonly<Record<string, string>> = {
  "claude-code": "claude-opus-4-8",
  codex: "gpt-5-codex",
  opencode: "fast"
}

const parameters = {
  type: "object" as const,
  properties: { command: { type: "string", enum: ["ls"] } },
  required: ["command"]
}
const given = '{"command":"ls"}'
const question = { role: "user" as const, content: "List the files" }

// llama-server lets the model speak before a call that is required. After four examples even this small one calls at once.
const examples = [1, 2, 3, 4].map((number) => `call_${number}`)
const said = { role: "assistant" as const, content: "Done" }

const chatHistory = examples.flatMap((id): ReadonlyArray<OpenAI.ChatCompletionMessageParam> => [
  question,
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id, type: "function", function: { name: "run", arguments: given } }]
  },
  { role: "tool", tool_call_id: id, content: "a.txt" },
  said
])

const responsesHistory = examples.flatMap((id): ReadonlyArray<OpenAI.Responses.ResponseInputItem> => [
  question,
  { type: "function_call", call_id: id, name: "run", arguments: given },
  { type: "function_call_output", call_id: id, output: "a.txt" },
  said
])

const messagesHistory = examples.flatMap((id): ReadonlyArray<Anthropic.MessageParam> => [
  question,
  { role: "assistant", content: [{ type: "tool_use", id, name: "run", input: { command: "ls" } }] },
  { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "a.txt" }] },
  said
])

describeWithLlamaServer("recorded requests of programs, to llama-server,", () => {
  layer(LlamaEndpoints.layer, { timeout: "90 seconds", excludeTestServices: true })("with tools", (it) => {
    for (const { name, requests, version } of programs) {
      it.effect(
        `of ${name} ${version} are answered`,
        () =>
          Effect.gen(function* () {
            const { url } = yield* LlamaEndpoints
            for (const request of requests) {
              const { status, text } = yield* replay(url, request, { model: models[name] })
              assert.strictEqual(status, 200, text)
              assert.isNotEmpty(checkStream(request.path, text))
            }
          }),
        120_000
      )
    }

    it.effect(
      "have a required tool called, and its result read, by OpenAI's chat",
      () =>
        Effect.gen(function* () {
          const { url } = yield* LlamaEndpoints
          const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 })
          yield* Effect.promise(async () => {
            const description = "Runs a command"
            const tools = [{ type: "function" as const, function: { name: "run", description, parameters } }]
            for (const tool_choice of [
              "required" as const,
              { type: "function" as const, function: { name: "run" } }
            ]) {
              const messages = [...chatHistory, question]
              const asked = { model: "fast", messages, tools, tool_choice, max_tokens: 64, temperature: 0 }
              const whole = await client.chat.completions.create(asked)
              const call = whole.choices[0]?.message.tool_calls?.[0]
              if (call?.type !== "function") throw new Error(JSON.stringify(whole))
              assert.strictEqual(whole.choices[0]?.finish_reason, "tool_calls")
              assert.deepStrictEqual(
                [call.function.name, JSON.parse(call.function.arguments)],
                ["run", { command: "ls" }]
              )
              const streamed = await client.chat.completions.stream(asked).finalChatCompletion()
              const [again] = streamed.choices[0]?.message.tool_calls ?? []
              assert.deepInclude(again, { type: "function" })
              const answer = await client.chat.completions.create({
                ...asked,
                tool_choice: "none",
                max_tokens: 16,
                messages: [
                  ...messages,
                  { role: "assistant", content: null, tool_calls: [call] },
                  { role: "tool", tool_call_id: call.id, content: "a.txt" }
                ]
              })
              assert.isNotEmpty(answer.choices[0]?.message.content)
            }
          })
        }),
      120_000
    )

    it.effect(
      "have a required tool called, and its result read, by OpenAI's responses",
      () =>
        Effect.gen(function* () {
          const { url } = yield* LlamaEndpoints
          const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 })
          yield* Effect.promise(async () => {
            const tools = [
              {
                type: "function" as const,
                name: "run",
                description: "Runs a command",
                parameters,
                strict: true
              },
              { type: "web_search" as const }
            ]
            const asked = { model: "fast", tools, max_output_tokens: 64, temperature: 0 }
            const input = [...responsesHistory, question]
            for (const tool_choice of ["required" as const, { type: "function" as const, name: "run" }]) {
              const stream = client.responses.stream({ ...asked, input, tool_choice })
              const { output } = await stream.finalResponse()
              const call = output.find((item) => item.type === "function_call")
              if (call === undefined) throw new Error(JSON.stringify(output))
              assert.deepStrictEqual([call.name, JSON.parse(call.arguments)], ["run", { command: "ls" }])
              const answer = await client.responses.create({
                ...asked,
                tool_choice: "none",
                input: [
                  ...input,
                  {
                    type: "function_call",
                    call_id: call.call_id,
                    name: call.name,
                    arguments: call.arguments
                  },
                  { type: "function_call_output", call_id: call.call_id, output: "a.txt" }
                ]
              })
              assert.isNotEmpty(answer.output_text)
            }
          })
        }),
      120_000
    )

    it.effect(
      "have a required tool called, and its result read, by Anthropic's messages",
      () =>
        Effect.gen(function* () {
          const { url } = yield* LlamaEndpoints
          const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 })
          yield* Effect.promise(async () => {
            const tools = [{ name: "run", description: "Runs a command", input_schema: parameters }]
            const messages = [...messagesHistory, question]
            const asked = { model: "claude-opus-4-8", tools, max_tokens: 64, temperature: 0 }
            for (const tool_choice of [{ type: "any" as const }, { type: "tool" as const, name: "run" }]) {
              const first = await client.messages.stream({ ...asked, messages, tool_choice }).finalMessage()
              const use = first.content.find((block) => block.type === "tool_use")
              if (use === undefined) throw new Error(JSON.stringify(first))
              assert.deepStrictEqual(
                [first.stop_reason, use.name, use.input],
                ["tool_use", "run", { command: "ls" }]
              )
              const answer = await client.messages.create({
                ...asked,
                tool_choice: { type: "none" },
                messages: [
                  ...messages,
                  { role: "assistant", content: first.content },
                  { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "a.txt" }] }
                ]
              })
              assert.strictEqual(answer.content[0]?.type, "text")
            }
          })
        }),
      120_000
    )
  })
})
