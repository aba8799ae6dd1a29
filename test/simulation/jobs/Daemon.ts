import { Context, Effect, Exit, Layer, Scope } from "effect"
import { type HttpClient, HttpRouter } from "effect/http"
import type { JobRecord } from "../../../src/job/JobRecord.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { JobStore } from "../../../src/job/JobStore.ts"
import { Ticker } from "../../../src/job/log/Follower.ts"
import type { LoggedEvent } from "../../../src/job/log/JobEvent.ts"
import { JobLogs } from "../../../src/job/log/JobLogs.ts"
import { OperationRouter } from "../../../src/job/OperationRouter.ts"
import type { Submission } from "../../../src/job/Submission.ts"
import { readRequest } from "../../../src/operation/Catalog.ts"
import type { RefusedOperation } from "../../../src/operation/errors.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { jobRoutes } from "../../../src/testing/Script.ts"
import type { ClientProcess, Network } from "../network/Network.ts"

/** A job that has ended, and its log. */
export interface EndedJob {
  readonly daemon: string
  readonly record: JobRecord
  readonly events: ReadonlyArray<LoggedEvent>
}

/** Finds the submission for the fields of a request. */
export type Route = (fields: { readonly [field: string]: unknown }) => Submission

/** Makes the route of one process in its scope; the process makes its requests with the client. */
export type MakeRoute = (http: HttpClient.HttpClient) => Effect.Effect<Route, never, Scope.Scope>

const router = (route: Route) =>
  Layer.succeed(
    OperationRouter,
    OperationRouter.of({
      route: (body): Effect.Effect<Submission, RefusedOperation> =>
        Effect.map(Effect.fromResult(readRequest(body)), ({ fields }) => route(fields))
    })
  )

/** One run of a daemon's process. */
interface Process {
  readonly scope: Scope.Closeable
  readonly client: ClientProcess
  readonly jobs: Jobs["Service"]
}

interface DaemonOptions {
  readonly origin: string
  readonly network: Network
  readonly settings: Settings["Service"]
  readonly makeRoute: MakeRoute
  readonly makeLog: JobLogs["Service"]["make"] | undefined
}

/** A queen or a hive: its process, which comes and goes, with real jobs and their real endpoints. */
export class Daemon {
  readonly origin: string
  readonly #options: DaemonOptions
  readonly #network: Network
  /** The jobs that had ended when their process did. */
  readonly #ended: Array<EndedJob> = []
  #process: Process | undefined
  starts = 0

  constructor(options: DaemonOptions) {
    this.#options = options
    this.#network = options.network
    this.origin = options.origin
  }

  get jobs() {
    return this.#process?.jobs
  }

  readonly start = Effect.fnUntraced(function* (this: Daemon) {
    const { makeLog, makeRoute, settings } = this.#options
    const scope = yield* Scope.make()
    const client = this.#network.client()
    const route = yield* Scope.provide(makeRoute(client.http), scope)
    const jobs =
      makeLog === undefined
        ? Jobs.layer
        : Jobs.layerNoDeps.pipe(
            Layer.provide([Layer.succeed(JobLogs, JobLogs.of({ make: makeLog })), JobStore.layerMemory])
          )
    const services = Layer.mergeAll(jobs, router(route), Ticker.layer).pipe(
      Layer.provideMerge(Layer.succeed(Settings, settings))
    )
    const context = yield* Layer.buildWithScope(Layer.fresh(services), scope)
    const app = yield* HttpRouter.toHttpEffect(Layer.fresh(jobRoutes)).pipe(
      Effect.provideContext(context),
      Scope.provide(scope)
    )
    this.#process = { scope, client, jobs: Context.get(context, Jobs) }
    this.starts++
    this.#network.listen(this.origin, app)
  })

  /** The process dies: nothing that it does then is heard of. */
  readonly kill = Effect.fnUntraced(function* (this: Daemon) {
    const process = this.#process
    if (process === undefined) return
    this.#process = undefined
    this.#network.kill(this.origin)
    process.client.kill()
    yield* this.#note(process.jobs)
    yield* Scope.close(process.scope, Exit.void)
  })

  /** The process ends its jobs, tells their followers, and stops. */
  readonly stop = Effect.fnUntraced(function* (this: Daemon) {
    const jobs = this.jobs
    if (jobs === undefined) return
    yield* jobs.stopAll
    yield* Effect.sleep(500)
    yield* this.kill()
  })

  /** All jobs that have ended, also those of earlier processes. */
  readonly ended = Effect.fnUntraced(function* (this: Daemon) {
    if (this.#process !== undefined) yield* this.#note(this.#process.jobs)
    return this.#ended
  })

  /** The states of the jobs that have not ended. */
  readonly unfinished = Effect.fnUntraced(function* (this: Daemon) {
    const list = this.jobs === undefined ? [] : yield* this.jobs.list
    return list.filter(({ ended_at }) => ended_at === undefined)
  })

  readonly #note = Effect.fnUntraced(function* (this: Daemon, jobs: Jobs["Service"]) {
    for (const record of yield* jobs.list) {
      const { ended_at, job_id } = record
      if (ended_at === undefined || this.#ended.some((known) => known.record.job_id === job_id)) continue
      const { log } = yield* Effect.orDie(jobs.follow(job_id))
      this.#ended.push({ daemon: this.origin, record, events: yield* log.all })
    }
  }, Effect.scoped)
}
