import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { ApiKey } from "../access/ApiKey.ts"

/** Writes a refusal as the clients of a path expect it. */
export type ErrorWriter = (
  status: number,
  code: string,
  message: string
) => HttpServerResponse.HttpServerResponse

/** A path for applications, as the OpenAPI page names it. */
export interface PublicRoute {
  readonly method: "delete" | "get" | "post"
  readonly path: `/${string}`
  /** Whose API it is. */
  readonly api: string
}

/** A path that applications ask for, whether there is an endpoint or not. */
export interface ApplicationPath {
  /** Whether an endpoint has the path: keys open it. Whatever else is there, only the token of the daemon opens. */
  readonly isEndpoint: boolean
  /** Refuses as the clients of the path expect it. */
  readonly refuse: ErrorWriter
  /** The response where no route takes the request. */
  readonly missing: () => HttpServerResponse.HttpServerResponse
}

/** The paths that are there for applications: who may use them is said by keys, besides the token. */
export interface PublicRoutes {
  readonly paths: ReadonlyArray<PublicRoute>
  /** The application path of a request; undefined for the daemon's own paths. */
  readonly applicationPath: (request: HttpServerRequest.HttpServerRequest) => ApplicationPath | undefined
  /** The key whose text this is; nothing when there is none. */
  readonly find: (key: string) => Effect.Effect<ApiKey | undefined>
  /** Whether there are keys, and so who has none is turned away; `unreadable` when the file cannot be read. */
  readonly keys: Effect.Effect<"none" | "some" | "unreadable">
}

/** The doors of this daemon; it has none unless a gateway says so. */
export const PublicRoutes = Context.Reference<PublicRoutes>("rbee/daemon/PublicRoutes/Doors", {
  defaultValue: () => ({
    paths: [],
    applicationPath: () => undefined,
    find: () => Effect.undefined,
    keys: Effect.succeed("none" as const)
  })
})
