import { assert, describe, it } from "@effect/vitest"
import { Effect, identity, Schema, Stream } from "effect"
import * as Sse from "effect/encoding/Sse"
import type { SseEvent } from "../../src/http/SseParser.ts"
import { readSse } from "../../src/http/SseReader.ts"
import { readFullView, readPlainView } from "../../src/job/client/JobReader.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { toFrame } from "../../src/job/view/FullView.ts"
import { PlainRenderer, toPlainFrame } from "../../src/job/view/PlainView.ts"

const url = "http://hive"
const view = { url, failed: (error: never) => error }

/** The text as chunks of bytes, cut after every `size` of them. */
const cut = (text: string, size: number) => {
  const bytes = Buffer.from(text)
  const chunks: Array<Uint8Array> = []
  for (let i = 0; i < bytes.length; i += size) chunks.push(bytes.subarray(i, i + size))
  return Stream.fromIterable(chunks)
}

/** Reads all events, to whatever end; fails as the parser does. */
const read = (bytes: Stream.Stream<Uint8Array>, { maxEventSize }: { readonly maxEventSize: number }) =>
  readSse(bytes, {
    maxEventSize,
    map: (event) => event,
    failed: identity,
    tooLarge: identity,
    brokenOff: () => undefined
  })

const dataOf = (text: string, size = 1_000_000) =>
  read(cut(text, size), { maxEventSize: 1_000_000 }).pipe(
    Stream.map(({ data }) => data),
    Stream.runCollect
  )

describe("readSse", () => {
  it.effect("reads what the standard allows", () =>
    Effect.gen(function* () {
      const text =
        "\uFEFF: hello\ndata:x\n\ndata: x\r\n\r\ndata:  y\rdata: z\r\rretry: 10\nid: 4\nevent: token\ndata\n\nevent: none\n\n"
      assert.deepStrictEqual(yield* dataOf(text), ["x", "x", " y\nz", ""])
    })
  )

  it.effect("reads the same wherever the bytes are cut", () =>
    Effect.gen(function* () {
      const text = "data: zwölf 日本 🐝\r\n\r\nid: 9\nevent: token\ndata: a\ndata: b\n\ndata: c\n\n"
      for (let size = 1; size <= Buffer.byteLength(text); size++) {
        assert.deepStrictEqual(yield* dataOf(text, size), ["zwölf 日本 🐝", "a\nb", "c"], `cut at ${size}`)
      }
    })
  )

  const Pieces = Schema.Array(
    Schema.Literals([
      "data",
      "data:",
      "data: a",
      "data:  b: c",
      "event: token",
      "event:",
      "id: 1",
      "id",
      "id: 2\0",
      ": d",
      "x: y",
      "é🐝",
      "\n",
      "\n\n",
      "\n\n\n",
      "\r",
      "\r\n"
    ])
  )
  const Size = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 }))

  it.effect(
    "reads an older llama-server's field 'error' also when a carriage return follows in the same piece",
    () =>
      Effect.gen(function* () {
        const text = `error: {"message":"a"}\n\ndata: b\r\n\r\n`
        for (let size = 1; size <= text.length; size++) {
          assert.deepStrictEqual(yield* dataOf(text, size), ['{"message":"a"}', "b"], `size ${size}`)
        }
      })
  )

  it.effect.prop("reads what Effect's parser reads, whatever comes", [Pieces, Size], ([pieces, size]) =>
    Effect.gen(function* () {
      const text = pieces.join("")
      const expected: Array<SseEvent> = []
      const parser = Sse.makeParser((event) => {
        if (event._tag === "Event") expected.push({ id: event.id, event: event.event, data: event.data })
      })
      parser.feed(text)
      const bytes = cut(text, size)
      const events = yield* Stream.runCollect(read(bytes, { maxEventSize: 1000 }))
      assert.deepStrictEqual(
        events.map(({ data, event, id }) => ({ id, event, data })),
        expected
      )
    })
  )

  it.effect("refuses an event beyond the limit also when it comes in one chunk", () =>
    Effect.gen(function* () {
      const bytes = Stream.succeed(new TextEncoder().encode(`data: ${"x".repeat(200)}\n\n`))
      const error = yield* Effect.flip(Stream.runDrain(read(bytes, { maxEventSize: 100 })))
      assert.strictEqual(error.reason._tag, "EventTooLarge")
    })
  )

  it.effect("reads a line of 1 MB, and refuses one beyond the limit", () =>
    Effect.gen(function* () {
      const line = "x".repeat(1_000_000)
      const all = read(cut(`data: ${line}\n\n`, 65_536), { maxEventSize: 2_000_000 })
      assert.strictEqual((yield* Stream.runCollect(all))[0]?.data.length, 1_000_000)
      const error = yield* read(cut(`data: ${line}\n\n`, 65_536), { maxEventSize: 500_000 }).pipe(
        Stream.runDrain,
        Effect.flip
      )
      assert.strictEqual(error._tag, "SseError")
    })
  )
})

describe("readFullView", () => {
  const Texts = Schema.Array(Schema.String)

  it.effect.prop("gives back what was written", [Texts], ([texts]) =>
    Effect.gen(function* () {
      const written = texts.map(
        (text, i) => ({ id: i + 1, kind: "token", json: JSON.stringify({ text }) }) as const
      )
      const wire = [...written, { id: texts.length + 1, kind: "done", json: "{}" } as const]
        .map(toFrame)
        .join("")
      const events = yield* Stream.runCollect(
        readFullView(cut(wire, 7), { ...view, maxEventSize: 1_000_000 })
      )
      assert.deepStrictEqual(
        events.map(({ id, json, kind }) => ({ id, kind, json })),
        [...written, { id: texts.length + 1, kind: "done", json: "{}" }]
      )
    })
  )

  it.effect("fails on a stream without an end event, and after what it gave", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const error = yield* readFullView(cut(toFrame({ id: 1, kind: "token", json: `{"text":"a"}` }), 9), {
        ...view,
        maxEventSize: 100
      }).pipe(
        Stream.runForEach(({ json }) => Effect.sync(() => seen.push(json))),
        Effect.flip
      )
      assert.strictEqual(error.message, "The daemon at http://hive ended the stream without an end event")
      assert.deepStrictEqual(seen, [`{"text":"a"}`])
    })
  )

  it.effect("ends at the end event, and passes over kinds that it does not know", () =>
    Effect.gen(function* () {
      const wire =
        "id: 1\nevent: dance\ndata: {}\n\nid: 2\nevent: cancelled\ndata: {}\n\nid: 3\nevent: token\ndata: {}\n\n"
      const events = yield* Stream.runCollect(readFullView(cut(wire, 1000), { ...view, maxEventSize: 100 }))
      assert.deepStrictEqual(
        events.map(({ kind }) => kind),
        ["cancelled"]
      )
    })
  )
})

describe("readPlainView", () => {
  it.effect("ends as failed with the sentence of an older daemon's failed line before [DONE]", () =>
    Effect.gen(function* () {
      const ends = {
        "[job-exec  ] failed         : Job job-1 failed: Model 'x' not found: no file":
          "Model 'x' not found: no file",
        "[job-exec  ] failed         : out of memory": "out of memory",
        "[job-exec  ] failed         : Job job-2 failed: a\nb": "a\nb"
      }
      for (const [line, message] of Object.entries(ends)) {
        const wire = ["before", line, "after", "[DONE]"].map(toPlainFrame).join("")
        const events = yield* Stream.runCollect(readPlainView(cut(wire, 5), { ...view, maxEventSize: 1000 }))
        assert.deepStrictEqual(
          events.map(({ json, kind }) => [kind, JSON.parse(json)]),
          [
            ["line", { text: "before" }],
            ["line", { text: "after" }],
            ["failed", { error: { code: "JobFailed", message } }]
          ]
        )
      }
    })
  )

  it.effect("reads the failure of this version's plain view once, and no other line as one", () =>
    Effect.gen(function* () {
      const { json, kind } = JobEvent.failed({ code: "X", message: "It broke" })
      const wire =
        toPlainFrame("[job-exec  ] completed      : Job job-1 failed: no") +
        new PlainRenderer("job-1").render({ id: 1, json, kind })
      const events = yield* Stream.runCollect(readPlainView(cut(wire, 5), { ...view, maxEventSize: 1000 }))
      assert.deepStrictEqual(
        events.map(({ json, kind }) => [kind, JSON.parse(json)]),
        [
          ["line", { text: "[job-exec  ] completed      : Job job-1 failed: no" }],
          ["failed", { error: { code: "JobFailed", message: "It broke" } }]
        ]
      )
    })
  )

  it.effect("knows the end markers, and a text that only looks like one", () =>
    Effect.gen(function* () {
      const wire = ["so [DONE] it is", " [DONE]", "a\nb", "[DONE]", "after"].map(toPlainFrame).join("")
      const events = yield* Stream.runCollect(readPlainView(cut(wire, 3), { ...view, maxEventSize: 100 }))
      assert.deepStrictEqual(
        events.map(({ json, kind }) => [kind, json]),
        [
          ["line", `{"text":"so [DONE] it is"}`],
          ["line", `{"text":"[DONE]"}`],
          ["line", `{"text":"a\\nb"}`],
          ["done", "{}"]
        ]
      )
      const failed = yield* Stream.runCollect(
        readPlainView(cut(toPlainFrame("[ERROR] No such worker"), 3), { ...view, maxEventSize: 100 })
      )
      assert.strictEqual(failed[0]?.json, `{"error":{"code":"JobFailed","message":"No such worker"}}`)
    })
  )
})
