import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSwagger from "effect/http-api/HttpApiSwagger"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Catalog } from "../operation/Catalog.ts"
import { version } from "../system/Program.ts"
import { jobsGroup } from "./DaemonApi.ts"

/** The response to a request for the page of a document. */
type Page = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** The OpenAPI document of a daemon's contract: as JSON, and as a page. */
export class Document extends Context.Service<
  Document,
  {
    /** The document with the operations of a catalog. */
    readonly json: (catalog: Catalog) => Effect.Effect<HttpServerResponse.HttpServerResponse>
    /** The same as a page that needs nothing from another host. */
    readonly page: (catalog: Catalog) => Page
  }
>()("rbee/daemon/Document") {}

/** Unknown fields are ignored, in requests and in responses. */
const withUnknownFields = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withUnknownFields)
  if (!Predicate.isReadonlyObject(value)) return value
  const entries = Object.entries(value).filter(
    ([key, inside]) => key !== "additionalProperties" || inside !== false
  )
  return Object.fromEntries(entries.map(([key, inside]) => [key, withUnknownFields(inside)]))
}

// A wildcard at the end of a path takes the slashes of the parameter before it.
const withoutWildcard = (path: string) => path.replace(/\/\*$/, "")

const transform = ({ components, paths, ...document }: Record<string, unknown>) => ({
  ...document,
  components: withUnknownFields(components),
  paths: Object.fromEntries(
    Object.entries(paths ?? {}).map(([path, item]) => [withoutWildcard(path), withUnknownFields(item)])
  )
})

// The script of the page is 2 MB, which is loaded when the page is asked for. Its router is not the daemon's.
const makePage = <Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<"rbee", Groups>
): Effect.Effect<Page> =>
  HttpRouter.toHttpEffect(HttpApiSwagger.layer(api, { path: "/docs" })).pipe(
    Effect.map(Effect.orDie),
    Effect.provideServiceEffect(Layer.CurrentMemoMap, Layer.makeMemoMap),
    Effect.scoped
  )

const makeDocument = Effect.fnUntraced(function* <Groups extends HttpApiGroup.Constraint>(
  title: string,
  api: HttpApi.HttpApi<"rbee", Groups>,
  catalog: Catalog
) {
  const complete = api
    .add(jobsGroup(Schema.Union([...catalog.values()])))
    .annotateMerge(OpenApi.annotations({ title: `rbee ${title}`, version, transform }))
  const page = yield* Effect.cached(makePage(complete))
  return {
    catalog,
    json: HttpServerResponse.jsonUnsafe(OpenApi.fromApi(complete)),
    page: Effect.flatten(page)
  }
})

const isSame = (left: Catalog, right: Catalog) =>
  left.size === right.size && [...left].every(([name, operation]) => right.get(name) === operation)

/** The document of a contract. It is made once for each set of operations. */
export const documentOf = <Groups extends HttpApiGroup.Constraint>(
  title: string,
  api: HttpApi.HttpApi<"rbee", Groups>
) => {
  let last: Effect.Success<ReturnType<typeof makeDocument>> | undefined
  const madeFor = Effect.fnUntraced(function* (catalog: Catalog) {
    if (last === undefined || !isSame(last.catalog, catalog)) last = yield* makeDocument(title, api, catalog)
    return last
  })
  return Document.of({
    json: (catalog) => Effect.map(madeFor(catalog), ({ json }) => json),
    page: (catalog) => Effect.flatMap(madeFor(catalog), ({ page }) => page)
  })
}
