import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { ApiKey } from "../access/ApiKey.ts"
import type { Reported } from "./wireError.ts"

/** Writes an error in the format of the API that a path belongs to, with the status of the error's class. */
export type ErrorWriter = (error: Reported) => HttpServerResponse.HttpServerResponse

/** A path that belongs to an application API, with or without an endpoint. */
export interface ApplicationPath {
  /** Whether the path has an endpoint. API keys give access to endpoints; the other paths require the daemon token. */
  readonly isEndpoint: boolean
  readonly refuse: ErrorWriter
  /** The response if no endpoint matches the request. */
  readonly missing: () => HttpServerResponse.HttpServerResponse
}

/** The paths of a daemon that belong to application APIs. API keys and the daemon token give access to them. */
export interface PublicRoutes {
  /** The application path of a request; undefined for the daemon's own paths. */
  readonly applicationPath: (request: HttpServerRequest.HttpServerRequest) => ApplicationPath | undefined
  /** The API key with this text; undefined if it does not exist. */
  readonly find: (key: string) => Effect.Effect<ApiKey | undefined>
  /** Whether API keys exist; if so, requests need one. `unreadable`: the file of the keys cannot be read. */
  readonly keys: Effect.Effect<"none" | "some" | "unreadable">
}

/** The public routes of a daemon; none unless a gateway provides them. */
export const PublicRoutes = Context.Reference<PublicRoutes>("rbee/daemon/PublicRoutes", {
  defaultValue: () => ({
    applicationPath: () => undefined,
    find: () => Effect.undefined,
    keys: Effect.succeed("none" as const)
  })
})
