import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Layer, Stream } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { Token } from "../../src/access/Token.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { HivesConf } from "../../src/hives/HivesConf.ts"
import { hivePool } from "../../src/http/hivePool.ts"
import { JobsClient } from "../../src/job/client/JobsClient.ts"
import type { JobEvent } from "../../src/job/log/JobEvent.ts"
import { Queen } from "../../src/queen/Queen.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { type SettingChanges, Settings } from "../../src/settings/Settings.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryHome } from "./hive.ts"

export interface QueenOptions {
  readonly home: string
  /** The hives of `hives.conf`, by alias, with their base URLs. */
  readonly hives?: Readonly<Record<string, string>>
  readonly settings?: SettingChanges
  /** The daemon token; default: none. */
  readonly token?: string
}

const entryOf = ([alias, url]: readonly [string, string]) => {
  const { hostname, port } = new URL(url)
  return { aliases: [alias], hostName: hostname, port: 22, user: "nobody", hivePort: Number(port) }
}

const nobodysPort = 9

/** A whole queen on a free port, its state below `home`. */
export const queenLayer = ({ hives = {}, home, settings = {}, token }: QueenOptions) =>
  Queen.layerNoDeps.pipe(
    Layer.provide(
      Layer.mergeAll(
        HivesConf.layerMemory(Object.entries(hives).map(entryOf)),
        PidFile.layer,
        DetachedProcess.layer
      ).pipe(Layer.provideMerge(Pids.layer))
    ),
    Layer.provideMerge(hivePool),
    Layer.provideMerge(
      Layer.mergeAll(
        // A hive that another test runs at the usual port must not be taken for this queen's `localhost`.
        Settings.layerDefaults({
          ...settings,
          queen: { port: 0 },
          hive: { port: nobodysPort, ...settings.hive }
        }),
        Token.layerMemory(token),
        Paths.layerAt(home)
      )
    ),
    Layer.provideMerge(NodeServices.layer)
  )

export interface Answered {
  readonly status: number
  readonly text: string
}

/** Speaks with a queen over its socket. */
export class QueenClient extends Context.Service<
  QueenClient,
  {
    readonly url: string
    readonly ask: (
      method: "GET" | "POST" | "DELETE",
      path: string,
      body?: string,
      headers?: Readonly<Record<string, string>>
    ) => Effect.Effect<Answered>
    /** Sends an operation, an object or a text that goes as it is; gives the id of the job. */
    readonly submit: (operation: object | string) => Effect.Effect<string>
    readonly follow: (jobId: string) => Stream.Stream<JobEvent>
    readonly run: (operation: object | string) => Effect.Effect<ReadonlyArray<JobEvent>>
  }
>()("rbee/test/support/queen/QueenClient") {
  static readonly layer = Layer.effect(
    QueenClient,
    Effect.gen(function* () {
      const url = yield* boundUrl
      const http = yield* HttpClient.HttpClient
      const client = yield* JobsClient
      const submit = (operation: object | string) =>
        Effect.orDie(
          client.submit({ url }, typeof operation === "string" ? operation : JSON.stringify(operation))
        )
      const follow = (jobId: string) => Stream.orDie(client.events({ url }, jobId))
      return QueenClient.of({
        url,
        ask: (method, path, body, headers = {}) =>
          Effect.gen(function* () {
            const request = HttpClientRequest.make(method)(url + path).pipe(
              body === undefined ? (_) => _ : HttpClientRequest.bodyText(body, "application/json"),
              HttpClientRequest.setHeaders(headers)
            )
            const response = yield* http.execute(request)
            return { status: response.status, text: yield* response.text }
          }).pipe(Effect.orDie),
        submit,
        follow,
        run: (operation) => Effect.flatMap(submit(operation), (id) => Stream.runCollect(follow(id)))
      })
    })
  )
}

/** Runs a test against a queen with a home of its own. */
export const withQueen = <A, E, R>(test: Effect.Effect<A, E, R>, options: Omit<QueenOptions, "home"> = {}) =>
  Effect.flatMap(temporaryHome, (home) =>
    Effect.provide(test, QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ ...options, home }))))
  )
