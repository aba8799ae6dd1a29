import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, layer } from "@effect/vitest"
import { APICallError, embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai"
import { Effect } from "effect"
import { daemons, Endpoints } from "../../../support/endpoints.ts"

const prompt = "Tell me of Mr. Darcy."

const answer = jsonSchema<{ name: string }>({
  type: "object",
  properties: { name: { type: "string", enum: ["Emma", "Jane"] } },
  required: ["name"],
  additionalProperties: false
})

layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })("the AI SDK", (it) => {
  for (const daemon of daemons) {
    const withProvider = (
      use: (provider: ReturnType<typeof createOpenAICompatible>) => Promise<void>,
      after?: (endpoints: Endpoints["Service"]) => Effect.Effect<void>
    ) =>
      Effect.gen(function* () {
        const endpoints = yield* Endpoints
        const provider = createOpenAICompatible({
          name: "rbee",
          baseURL: `${endpoints[daemon]}/v1`,
          supportsStructuredOutputs: true,
          includeUsage: true
        })
        yield* Effect.promise(() => use(provider))
        if (after !== undefined) yield* after(endpoints)
      })

    describe(`at a ${daemon}`, () => {
      it.effect("gets the same text complete and streamed", () =>
        withProvider(async (provider) => {
          const asked = {
            model: provider("rbee:tiny"),
            prompt,
            temperature: 0,
            maxOutputTokens: 16,
            maxRetries: 0
          }
          const whole = await generateText(asked)
          assert.isNotEmpty(whole.text)
          const stream = streamText(asked)
          let text = ""
          for await (const piece of stream.textStream) text += piece
          assert.strictEqual(text, whole.text)
          const usage = await stream.usage
          assert.strictEqual(usage.outputTokens, whole.usage.outputTokens)
        })
      )

      it.effect("gets an object that conforms to its schema", () =>
        withProvider(async (provider) => {
          const { output } = await generateText({
            model: provider("rbee:tiny"),
            prompt,
            output: Output.object({ schema: answer }),
            maxRetries: 0
          })
          assert.include(["Emma", "Jane"], output.name)
        })
      )

      it.effect("has a tool called, and sends its result", () =>
        withProvider(async (provider) => {
          const asked: Array<string> = []
          const { text } = await generateText({
            model: provider("tooly"),
            prompt,
            tools: {
              look_up: tool({
                inputSchema: jsonSchema<{ text: string }>({
                  type: "object",
                  properties: { text: { type: "string" } }
                }),
                execute: ({ text }) => {
                  asked.push(text)
                  return Promise.resolve("42")
                }
              })
            },
            stopWhen: stepCountIs(2),
            maxRetries: 0
          })
          assert.deepStrictEqual(asked, [prompt])
          assert.include(text, "The tool said")
        })
      )

      it.effect("gets embeddings", () =>
        withProvider(async (provider) => {
          const { embeddings } = await embedMany({
            model: provider.embeddingModel("rbee:tiny"),
            values: ["one", "two"],
            maxRetries: 0
          })
          assert.lengthOf(embeddings, 2)
          assert.notDeepEqual(embeddings[0], embeddings[1])
        })
      )

      it.effect("stops the work with an abort", () =>
        withProvider(
          async (provider) => {
            const controller = new AbortController()
            const stream = streamText({
              model: provider("rbee:tiny"),
              prompt,
              maxOutputTokens: 400,
              abortSignal: controller.signal,
              maxRetries: 0
            })
            for await (const _piece of stream.textStream) controller.abort()
          },
          (endpoints) => endpoints.idle(endpoints[daemon])
        )
      )

      it.effect("gets an error with the reason", () =>
        withProvider(async (provider) => {
          const error: unknown = await generateText({ model: provider("none"), prompt, maxRetries: 0 }).then(
            () => undefined,
            (error: unknown) => error
          )
          assert.isTrue(APICallError.isInstance(error))
          if (!APICallError.isInstance(error)) return
          assert.strictEqual(error.statusCode, 404)
          assert.include(error.message, "Model 'none' is not on any hive")
        })
      )
    })
  }
})
