import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { post } from "../../support/applications.ts"
import { ask } from "../../support/daemon.ts"
import { daemons, Endpoints } from "../../support/endpoints.ts"

// What it writes depends on nothing, so that the same prompt can be sent as it is.
const fixed = "{% for message in messages %}{% endfor %}It was a dark night and"

const remove = (url: string, model: string) => {
  const body = JSON.stringify({ model })
  return ask(url, { method: "DELETE", path: "/api/delete", headers: { "content-length": body.length }, body })
}

layer(Endpoints.layer, { timeout: "120 seconds", excludeTestServices: true })("a created model", (it) => {
  for (const daemon of daemons) {
    describe(`at a ${daemon}`, () => {
      const name = (suffix: string) => `${daemon}-${suffix}`
      const start = Effect.map(Endpoints, (endpoints) => endpoints[daemon])
      const make = (url: string, fields: object) =>
        post(url, "/api/create", { from: "tiny", stream: false, ...fields })

      it.effect("is at every endpoint with all that it adds, from its creation until its deletion", () =>
        Effect.gen(function* () {
          const url = yield* start
          const model = name("mario:v1")
          const made = yield* make(url, {
            model,
            system: "You are Mario.",
            parameters: { num_predict: 3, temperature: 0, stop: ["END"], num_gpu: 1 },
            messages: [{ role: "user", content: "Who?" }],
            license: ["MIT"]
          })
          assert.deepStrictEqual([made.status, made.text], [200, '{"status":"success"}'])
          const shown = JSON.parse((yield* post(url, "/api/show", { model })).text)
          assert.deepInclude(shown, {
            system: "You are Mario.",
            parameters: 'num_predict 3\nstop "END"\ntemperature 0',
            license: "MIT"
          })
          assert.include(shown.modelfile, "FROM rbee:tiny\nPARAMETER num_predict 3\n")
          assert.strictEqual(shown.details.parent_model, "rbee:tiny")
          const tags = yield* ask(url, { path: "/api/tags" })
          const listed = yield* ask(url, { path: "/v1/models" })
          assert.include(tags.text, `"name":"${model}"`)
          assert.include(listed.text, `"id":"${model}"`)

          // The system text and the messages are tokens of the prompt, and the limit of the answer is the model's.
          const question = { messages: [{ role: "user", content: "Hi" }] }
          const plain = yield* post(url, "/v1/chat/completions", {
            model: "tiny",
            max_tokens: 1,
            ...question
          })
          const prompt = JSON.parse(plain.text).usage.prompt_tokens
          const openai = JSON.parse((yield* post(url, "/v1/chat/completions", { model, ...question })).text)
          assert.isAbove(openai.usage.prompt_tokens, prompt + 4)
          assert.strictEqual(openai.usage.completion_tokens, 3)
          const ollama = JSON.parse(
            (yield* post(url, "/api/chat", { model, stream: false, ...question })).text
          )
          assert.deepStrictEqual(
            [ollama.prompt_eval_count, ollama.eval_count],
            [openai.usage.prompt_tokens, 3]
          )
          const own = { model, stream: false, options: { num_predict: 5 }, ...question }
          assert.strictEqual(JSON.parse((yield* post(url, "/api/chat", own)).text).eval_count, 5)
          const anthropic = yield* post(url, "/v1/messages", { model, max_tokens: 2, ...question })
          assert.strictEqual(JSON.parse(anthropic.text).usage.output_tokens, 2)
          const raw = yield* post(url, "/v1/completions", { model, prompt: "It was" })
          assert.strictEqual(JSON.parse(raw.text).usage.completion_tokens, 3)

          assert.strictEqual((yield* remove(url, model)).status, 200)
          assert.strictEqual((yield* post(url, "/api/show", { model })).status, 404)
          assert.strictEqual((yield* post(url, "/api/show", { model: "tiny" })).status, 200)
        })
      )

      it.effect("answers with its own template", () =>
        Effect.gen(function* () {
          const url = yield* start
          const model = name("fixed")
          assert.strictEqual((yield* make(url, { model, template: fixed })).status, 200)
          const chat = (asked: string, content: string) =>
            Effect.map(
              post(url, "/v1/chat/completions", {
                model: asked,
                temperature: 0,
                max_tokens: 8,
                messages: [{ role: "user", content }]
              }),
              ({ text }) => JSON.parse(text)
            )
          const answered = yield* chat(`${model}:latest`, "Hi")
          const asCompletion = yield* post(url, "/v1/completions", {
            model: "tiny",
            temperature: 0,
            max_tokens: 8,
            prompt: "It was a dark night and"
          })
          const raw = JSON.parse(asCompletion.text)
          assert.deepStrictEqual(
            [answered.choices[0].message.content, answered.usage.prompt_tokens],
            [raw.choices[0].text, raw.usage.prompt_tokens]
          )
          assert.strictEqual(JSON.parse((yield* post(url, "/api/show", { model })).text).template, fixed)
          // A worker has it loaded now, and is idle.
          const removed = yield* remove(url, model)
          assert.strictEqual(removed.status, 200, removed.text)
          assert.strictEqual((yield* post(url, "/api/show", { model })).status, 404)
        })
      )

      it.effect("is copied with all that it adds, and prevents the deletion of its source", () =>
        Effect.gen(function* () {
          const url = yield* start
          const [first, second] = [name("one"), name("two")]
          // The file of another model, so that it may be deleted at all.
          const from = "toolsmith"
          yield* make(url, { model: first, from, system: "Be brief.", parameters: { num_predict: 4 } })
          const copied = yield* post(url, "/api/copy", { source: `${first}:latest`, destination: second })
          assert.strictEqual(copied.status, 200)
          yield* make(url, { model: second, from: second, parameters: { top_k: 5 } })
          const shown = JSON.parse((yield* post(url, "/api/show", { model: second })).text)
          assert.deepStrictEqual([shown.system, shown.parameters], ["Be brief.", "num_predict 4\ntop_k 5"])
          const refused = yield* remove(url, from)
          assert.strictEqual(refused.status, 409)
          assert.include(JSON.parse(refused.text).error, first)
          assert.strictEqual((yield* remove(url, first)).status, 200)
          assert.strictEqual((yield* remove(url, second)).status, 200)
          assert.strictEqual((yield* post(url, "/api/show", { model: from })).status, 200)
        })
      )

      it.effect("is rejected with a message if it cannot be created", () =>
        Effect.gen(function* () {
          const url = yield* start
          for (const [fields, status, words] of [
            [{ model: "x", template: "{{ .Prompt }}" }, 400, "Go template"],
            [{ model: "x", template: "{{- if .System }}{{ .System }}{{ end }}" }, 400, "Go template"],
            [{ model: "x", template: "{{ bos_token }}" }, 400, "'messages'"],
            ...(
              [
                ["{{ messages[ }}", "cannot be parsed: Unexpected token: CloseExpression"],
                ["{{ messages", "cannot be parsed: Unexpected end of input"],
                ["{% raw %}{{ messages }}{% endraw %}", "cannot be parsed: Unknown statement type: raw"],
                ["{% for m in messages %}{{ m.content }}", "an end tag is missing"],
                ["{% for m in messages %}".repeat(2700), "it is nested too deeply"]
              ] as const
            ).map(([template, words]) => [{ model: "x", template }, 400, words] as const),
            [{ model: "x", parameters: { colour: 1 } }, 400, "parameters.colour"],
            [{ model: "x", parameters: { temperature: "hot" } }, 400, "temperature"],
            [{ model: "x", from: "nothing" }, 404, "nothing"],
            [{ model: "x", from: "" }, 400, "'from'"],
            [{ model: "", from: "tiny" }, 400, "'model'"],
            [{ model: "../x" }, 400, "its name"],
            [{ model: "hf:a/b" }, 400, "'hf:' are reserved"],
            [{ model: "rbee:tiny" }, 400, "'rbee:' are reserved"],
            [{ model: "toolsmith" }, 400, "choose another name"],
            [{ model: "tiny:latest" }, 400, "choose another name"],
            [{ model: "x", files: { "a.gguf": "sha256:0" } }, 400, "'files'"],
            [{ model: "x", quantize: "q4_0" }, 400, "'quantize'"],
            [{ model: "x", modelfile: "FROM tiny" }, 400, "'modelfile'"],
            [{ model: "x", system: "x".repeat(70_000) }, 400, "65536"]
          ] as const) {
            const { status: got, text } = yield* make(url, fields)
            const { error } = JSON.parse(text)
            assert.deepStrictEqual(
              [JSON.stringify(fields).slice(0, 60), got],
              [JSON.stringify(fields).slice(0, 60), status]
            )
            assert.include(error, words)
          }
          for (const path of ["/api/push", "/api/blobs/sha256:0"]) {
            const { status, text } = yield* post(url, path, { model: "tiny" })
            assert.strictEqual(status, 501)
            assert.isString(JSON.parse(text).error)
          }
          const copied = yield* post(url, "/api/copy", { source: "nothing", destination: "x" })
          assert.strictEqual(copied.status, 404)
          const unnamed = yield* post(url, "/api/copy", { source: "tiny" })
          assert.strictEqual(unnamed.status, 400)
        })
      )
    })
  }
})
