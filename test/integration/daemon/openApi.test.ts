import { assert, describe, it } from "@effect/vitest"
import { Validator } from "@seriousme/openapi-schema-validator"
import { Effect, Layer, Schema } from "effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import { daemon } from "../../../src/daemon/Daemon.ts"
import { DaemonApi } from "../../../src/daemon/DaemonApi.ts"
import { documentOf } from "../../../src/daemon/Document.ts"
import { HiveApi } from "../../../src/hive/HiveApi.ts"
import { builtIn, type Catalog } from "../../../src/operation/Catalog.ts"
import { queenQuery } from "../../../src/operation/Routing.ts"
import { QueenApi } from "../../../src/queen/QueenApi.ts"
import { ask, startDaemon } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"

class Greet extends Schema.Class<Greet>("Greet")({ operation: Schema.tag("greet"), name: Schema.String }) {
  static readonly routing = queenQuery
}

const Spec = Schema.Struct({
  openapi: Schema.Literal("3.1.0"),
  paths: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Json)),
  components: Schema.Struct({
    schemas: Schema.Record(Schema.String, Schema.Json),
    securitySchemes: Schema.Record(Schema.String, Schema.Json)
  })
})
const readSpec = Schema.decodeUnknownSync(Schema.fromJsonString(Spec))

const Described = Schema.Struct({
  summary: Schema.String,
  security: Schema.Array(Schema.Record(Schema.String, Schema.Array(Schema.String))),
  responses: Schema.Record(Schema.String, Schema.Json),
  requestBody: Schema.optionalKey(Schema.Json)
})
const readDescribed = Schema.decodeUnknownSync(Described)

const documents = [
  ["queen", documentOf("queen", QueenApi)],
  ["hive", documentOf("hive", HiveApi)]
] as const

const textOf = (document: (typeof documents)[number][1], catalog: Catalog = builtIn) => {
  const { body } = Effect.runSync(document.json(catalog))
  if (body._tag !== "Uint8Array") throw new Error(body._tag)
  return Buffer.from(body.body).toString()
}

describe("the OpenAPI document", () => {
  for (const [name, document] of documents) {
    it.effect(`of a ${name} is valid, and all its references resolve`, () =>
      Effect.gen(function* () {
        const text = textOf(document)
        const result = yield* Effect.promise(() => new Validator().validate(JSON.parse(text)))
        assert.deepStrictEqual([result.valid, result.errors], [true, undefined])
        const { components } = readSpec(text)
        const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)]
        assert.isAbove(references.length, 20)
        assert.lengthOf(references, text.split(`"$ref"`).length - 1)
        for (const [, schema = ""] of references) assert.property(components.schemas, schema)
      })
    )

    it(`of a ${name} says of each endpoint what it takes, answers and refuses, and who may use it`, () => {
      const { components, paths } = readSpec(textOf(document))
      for (const [path, methods] of Object.entries(paths)) {
        for (const [method, endpoint] of Object.entries(methods)) {
          const where = `${method} ${path}`
          const { requestBody, responses, security } = readDescribed(endpoint)
          assert.property(responses, "200", where)
          assert.property(responses, "403", where)
          assert.strictEqual(
            method === "post" && path !== "/v1/shutdown",
            requestBody !== undefined && method === "post",
            where
          )
          assert.strictEqual(security.length === 0, path === "/health", where)
          for (const scheme of security.flatMap(Object.keys))
            assert.property(components.securitySchemes, scheme)
        }
      }
    })
  }

  it("has the operations of the daemon, those of an application included", () => {
    const text = textOf(documents[0][1], new Map([...builtIn, ["greet", Greet]]))
    assert.include(text, `"greet"`)
    assert.notInclude(textOf(documents[0][1]), `"greet"`)
  })

  it.live("lists exactly the paths of the daemon", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({})
      const { paths } = readSpec((yield* ask(url, { path: "/openapi.json" })).text)
      for (const [path, methods] of Object.entries(paths)) {
        for (const method of Object.keys(methods)) {
          if (path === "/v1/shutdown") continue
          const { text } = yield* ask(url, {
            method: method.toUpperCase(),
            path: path.replace("{id}", "job-x")
          })
          assert.notMatch(text, /"code":"(NotFound|unknown_url)"/, `${method} ${path}`)
        }
      }
    })
  )

  it.live("is also served as a page that loads nothing from other hosts", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({})
      const { headers, status, text } = yield* ask(url, { path: "/docs" })
      assert.deepStrictEqual([status, headers["content-type"]], [200, "text/html"])
      const elements = text
        .replaceAll(/(<script[^>]*>)[^]*?<\/script>/g, "$1")
        .replaceAll(/<style>[^]*?<\/style>/g, "")
      assert.notMatch(elements, /\b(src|href)\s*=/)
      const style = /<style>([^]*?)<\/style>/.exec(text)?.[1] ?? ""
      assert.notMatch(style, /@import|url\(["']?(https?:)?\/\//)
      assert.include(text, "/v1/jobs/{id}/events")
      assert.notInclude(text, 'validatorUrl: "')
    })
  )
})

it("an endpoint that does not check who calls does not compile", () => {
  const open = DaemonApi.add(
    HttpApiGroup.make("open").add(HttpApiEndpoint.get("look", "/look", { success: Schema.String }))
  )
  // @ts-expect-error The group has no access middleware.
  assert.isDefined(daemon({ name: "test", host: "127.0.0.1", port: 0 }, open, Layer.empty))
})
