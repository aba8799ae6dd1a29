import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { ApiKey } from "../access/ApiKey.ts"
import type { Reported } from "./wireError.ts"

/** Writes an error in the format that the clients of a path expect, with the status of its class. */
export type ErrorWriter = (error: Reported) => HttpServerResponse.HttpServerResponse

/** A path that applications ask for, whether there is an endpoint or not. */
export interface ApplicationPath {
  /** Whether an endpoint has the path: keys open it. Whatever else is there, only the token of the daemon opens. */
  readonly isEndpoint: boolean
  readonly refuse: ErrorWriter
  /** The response where no endpoint takes the request. */
  readonly missing: () => HttpServerResponse.HttpServerResponse
}

/** The paths of a daemon that are there for applications. API keys open them, besides the token. */
export interface PublicRoutes {
  /** The application path of a request; undefined for the daemon's own paths. */
  readonly applicationPath: (request: HttpServerRequest.HttpServerRequest) => ApplicationPath | undefined
  /** The API key whose text this is; undefined when there is none. */
  readonly find: (key: string) => Effect.Effect<ApiKey | undefined>
  /** Whether there are API keys, so that a request without one is refused; `unreadable` when the file cannot be read. */
  readonly keys: Effect.Effect<"none" | "some" | "unreadable">
}

/** The public routes of this daemon; it has none unless a gateway provides them. */
export const PublicRoutes = Context.Reference<PublicRoutes>("rbee/daemon/PublicRoutes", {
  defaultValue: () => ({
    applicationPath: () => undefined,
    find: () => Effect.undefined,
    keys: Effect.succeed("none" as const)
  })
})
