import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import openapiTS, { astToString } from "openapi-typescript"
import * as ts from "typescript"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { readRequest } from "../../../src/operation/Catalog.ts"
import { hiveAnswer } from "../../../src/operation/Routing.ts"
import { ask } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"

/** What an application writes with the types of the document and `openapi-fetch`. */
const program = `
import createClient from "openapi-fetch"
import type { paths } from "./schema.ts"

export const run = async (baseUrl: string, token: string) => {
  const client = createClient<paths, "application/json">({ baseUrl, headers: { authorization: \`Bearer \${token}\` } })
  const submitted = await client.POST("/v1/jobs", { body: { operation: "status" } })
  const job = await client.GET("/v1/jobs/{id}", { params: { path: { id: submitted.data?.job_id ?? "" } } })
  const unknown = await client.GET("/v1/jobs/{id}", { params: { path: { id: "job-x" } } })
  const answer = await client.POST("/v1/chat/completions", {
    body: { model: "rbee:tiny", messages: [{ role: "user", content: "Say hello" }] }
  })
  const content: string | null | undefined = answer.data?.choices[0]?.message.content
  return {
    operation: job.data?.operation,
    unknown: unknown.error?.error.code,
    status: unknown.response.status,
    content
  }
}

export const mistakes = async (baseUrl: string) => {
  const client = createClient<paths, "application/json">({ baseUrl })
  // @ts-expect-error There is no such path.
  await client.GET("/v1/nothing")
  // @ts-expect-error There is no such operation.
  await client.POST("/v1/jobs", { body: { operation: "make_coffee" } })
  // @ts-expect-error The messages are missing.
  await client.POST("/v1/chat/completions", { body: { model: "rbee:tiny" } })
}
`

const token = "0123456789abcdef"

const answer = ["Hel", "lo"].map((content, index) =>
  JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: index === 1 ? "stop" : null }] })
)

/** A folder below this one, so that the packages of the project are found from it; removed with the scope. */
const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(import.meta.dirname, ".client-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
)

const problemsOf = (file: string) => {
  const compiled = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2024,
    module: ts.ModuleKind.NodeNext,
    lib: ["lib.es2024.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    noEmit: true
  })
  return ts
    .getPreEmitDiagnostics(compiled)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))
}

it.live(
  "a client with types from the OpenAPI document submits a job and chats; invalid requests do not compile",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({
        token,
        complete: () => () => Stream.fromIterable(answer.map((data) => new JobEvent("chunk", data))),
        route: (body) => ({
          operation: readRequest(body)._tag === "Success" ? JSON.parse(body).operation : "unknown",
          routing: hiveAnswer,
          router: "test",
          work: () => Effect.void
        })
      })
      const headers = { authorization: `Bearer ${token}` }
      const document = (yield* ask(url, { path: "/openapi.json", headers })).text
      const types = astToString(yield* Effect.promise(() => openapiTS(document)))
      const made = yield* folder
      fs.writeFileSync(path.join(made, "schema.ts"), types)
      const file = path.join(made, "client.ts")
      fs.writeFileSync(file, program)
      assert.deepStrictEqual(problemsOf(file), [])
      const { run } = yield* Effect.promise(() => import(file))
      const results = yield* Effect.promise(() => run(url, token))
      assert.deepStrictEqual(results, {
        operation: "status",
        unknown: "JobNotFound",
        status: 404,
        content: "Hello"
      })
    }),
  120_000
)
