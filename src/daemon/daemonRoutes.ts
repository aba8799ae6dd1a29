import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Layer from "effect/Layer"
import {
  accessLayer,
  AccessRules,
  type ApplicationAccess,
  type DaemonAccess,
  type OpenAccess
} from "./Access.ts"
import { daemonHandlers } from "./daemonHandlers.ts"
import { Document, documentOf } from "./Document.ts"
import { guard } from "./Guard.ts"
import { jobHandlers } from "./jobHandlers.ts"
import { MountPath } from "./MountPath.ts"

type Access = ApplicationAccess | DaemonAccess | OpenAccess

/** The endpoints of a group that have no access middleware. */
type Unguarded<Groups> =
  HttpApiGroup.Endpoints<Groups> extends infer Endpoint
    ? Endpoint extends HttpApiEndpoint.Constraint
      ? [Extract<HttpApiEndpoint.Middleware<Endpoint>, Access>] extends [never]
        ? Endpoint["identifier"]
        : never
      : never
    : never

/** The API of a daemon; a type error names each endpoint without an access middleware. */
export type Guarded<Groups extends HttpApiGroup.Constraint> = [Unguarded<Groups>] extends [never]
  ? HttpApi.HttpApi<"rbee", Groups>
  : `Endpoint without an access middleware: ${Unguarded<Groups>}`

/** The handlers of the groups that not every daemon has. */
export type OwnGroups<Groups extends HttpApiGroup.Constraint> = HttpApiGroup.ToService<
  "rbee",
  Exclude<Groups, { readonly identifier: "daemon" | "jobs" }>
>

/** All routes of a daemon, and its response to other paths, for a router that has nothing else. */
export const daemonRoutes = <Groups extends HttpApiGroup.Constraint, E, R>(
  name: string,
  api: HttpApi.HttpApi<"rbee", Groups> & Guarded<Groups>,
  ownHandlers: Layer.Layer<OwnGroups<Groups>, E, R>
) =>
  Layer.merge(
    HttpApiBuilder.layer<"rbee", Groups>(api).pipe(
      Layer.provide([ownHandlers, jobHandlers, daemonHandlers(name)]),
      Layer.provide([
        accessLayer,
        Layer.effect(
          Document,
          Effect.map(MountPath, (path) => documentOf(name, api, path))
        )
      ])
    ),
    guard
  ).pipe(Layer.provide(AccessRules.layer))
