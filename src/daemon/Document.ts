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

/** The response with the HTML page of a document. */
type Page = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** The OpenAPI document of a daemon's API, as JSON and as an HTML page. */
export class Document extends Context.Service<
  Document,
  {
    /** The JSON document, including the operations of a catalog. */
    readonly json: (catalog: Catalog) => Effect.Effect<HttpServerResponse.HttpServerResponse>
    /** The HTML page, which loads nothing from other hosts. */
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

// A trailing wildcard matches the rest of a parameter that contains slashes; OpenAPI has no such notation.
const withoutWildcard = (path: string) => path.replace(/\/\*$/, "")

const transform = ({ components, paths, ...document }: Record<string, unknown>) => ({
  ...document,
  components: withUnknownFields(components),
  paths: Object.fromEntries(
    Object.entries(paths ?? {}).map(([path, item]) => [withoutWildcard(path), withUnknownFields(item)])
  )
})

// Built on the first request, because the script of the page has 2 MB; with a router of its own.
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
  mountPath: string,
  catalog: Catalog
) {
  const servers = mountPath === "" ? undefined : [{ url: mountPath }]
  const complete = api
    .add(jobsGroup(Schema.Union([...catalog.values()])))
    .annotateMerge(OpenApi.annotations({ title: `rbee ${title}`, version, transform, servers }))
  const page = yield* Effect.cached(makePage(complete))
  return {
    catalog,
    json: HttpServerResponse.jsonUnsafe(OpenApi.fromApi(complete)),
    page: Effect.flatten(page)
  }
})

const isSameCatalog = (left: Catalog, right: Catalog) =>
  left.size === right.size && [...left].every(([name, operation]) => right.get(name) === operation)

/** The document of an API below a path. It is rebuilt when the set of operations changes. */
export const documentOf = <Groups extends HttpApiGroup.Constraint>(
  title: string,
  api: HttpApi.HttpApi<"rbee", Groups>,
  mountPath = ""
) => {
  let last: Effect.Success<ReturnType<typeof makeDocument>> | undefined
  const madeFor = Effect.fnUntraced(function* (catalog: Catalog) {
    if (last === undefined || !isSameCatalog(last.catalog, catalog))
      last = yield* makeDocument(title, api, mountPath, catalog)
    return last
  })
  return Document.of({
    json: (catalog) => Effect.map(madeFor(catalog), ({ json }) => json),
    page: (catalog) => Effect.flatMap(madeFor(catalog), ({ page }) => page)
  })
}
