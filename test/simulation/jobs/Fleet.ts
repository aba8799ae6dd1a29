import { Clock, Context, Duration, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { DaemonClient, loadDaemonApi } from "../../../src/daemon/DaemonClient.ts"
import { JobsClient } from "../../../src/job/client/JobsClient.ts"
import type { JobLogs } from "../../../src/job/log/JobLogs.ts"
import type { Submission, Work } from "../../../src/job/Submission.ts"
import type { Routing } from "../../../src/operation/Routing.ts"
import { HiveDirectory } from "../../../src/queen/forward/HiveDirectory.ts"
import { HiveForwarder } from "../../../src/queen/forward/HiveForwarder.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import type { Random } from "../../support/Random.ts"
import { Network } from "../network/Network.ts"
import { Clients } from "./Clients.ts"
import { Daemon, type MakeRoute, type Route } from "./Daemon.ts"
import { Executions } from "./Executions.ts"
import type { Plan } from "./plans.ts"

/** A bug that is planted, for the checks to find. */
export interface Bug {
  /** What the queen takes for the routing of an operation. */
  readonly queenRouting?: (routing: Routing) => Routing
  /** What a hive does in place of its work. */
  readonly hiveWork?: (work: Work) => Work
  readonly makeLog?: JobLogs["Service"]["make"]
  /** The event after which a daemon resumes, where the client asked for another. */
  readonly resumesAt?: (after: number) => number
  /** How long an application waits for its submission, in milliseconds. */
  readonly clientSubmit?: number
}

export const limits = {
  submit: 3_000,
  firstEvent: 4_000,
  silence: 3_000,
  reconnect: 8_000,
  total: 40_000,
  jobsRunning: 4,
  graceRestart: 5_000
} as const

const settings = Settings.layerDefaults({
  timeouts: {
    connect: Duration.seconds(1),
    submit: Duration.millis(limits.submit),
    firstEvent: Duration.millis(limits.firstEvent),
    idle: Duration.seconds(6),
    silence: Duration.millis(limits.silence),
    reconnect: Duration.millis(limits.reconnect),
    total: Duration.millis(limits.total)
  },
  limits: {
    jobsRunning: limits.jobsRunning,
    jobsQueued: 6,
    graceAfterLastFollower: Duration.seconds(2),
    graceRestart: Duration.millis(limits.graceRestart)
  }
})

export const queen = "http://queen:8500"
export const hives = ["atlas", "bolt"] as const
const originOf = (hive: string) => `http://${hive}:8081`

type Fields = Parameters<Route>[0]

const submission = (plan: Plan, router: string, work: Work): Submission => ({
  // By which the job's record says what it is for.
  operation: plan.id,
  hiveId: plan.hive,
  routing: plan.routing,
  router,
  work
})

const directory = HiveDirectory.layerMemory(
  Object.fromEntries(hives.map((hive) => [hive, { url: originOf(hive) }]))
)

/** What a daemon of this simulation needs of the simulation. */
interface Parts {
  readonly bug: Bug
  readonly executions: Executions
  readonly planOf: (fields: Fields) => Plan
  readonly values: Settings["Service"]
}

const clientLayer = (values: Settings["Service"], http: HttpClient.HttpClient) =>
  Layer.merge(Layer.succeed(Settings, values), Layer.succeed(HttpClient.HttpClient, http))

const hiveRoute =
  ({ bug: { hiveWork = (work) => work }, executions, planOf }: Parts): MakeRoute =>
  () =>
    Effect.succeed((fields) => {
      const plan = planOf(fields)
      return submission(plan, "hv-router", hiveWork(executions.work(plan)))
    })

const queenRoute =
  ({ bug: { queenRouting = (routing) => routing }, planOf, values }: Parts): MakeRoute =>
  (http) =>
    Effect.map(
      Layer.build(HiveForwarder.layerNoDeps.pipe(Layer.provide([directory, clientLayer(values, http)]))),
      (context) => {
        const forwarder = Context.get(context, HiveForwarder)
        const forward =
          ({ hive, id, json, routing }: Plan): Work =>
          (job, emit) =>
            forwarder.forwardJson(
              { operation: id, hiveId: hive, json, routing: queenRouting(routing), job },
              emit
            )
        return (fields) => {
          const plan = planOf(fields)
          return submission(plan, "qn-router", forward(plan))
        }
      }
    )

/** Starts a queen, two hives and an application. Takes no time. */
export const makeFleet = Effect.fnUntraced(function* (seed: number, random: Random, bug: Bug) {
  const faultRate = random.pick([0, 0.05, 0.2, 0.5])
  const network = new Network(random, yield* Effect.scope, { faultRate, resumesAt: bug.resumesAt })
  const executions = new Executions()
  const plans = new Map<string, Plan>()
  const values = Context.get(yield* Layer.build(settings), Settings)
  const planOf = ({ plan }: Fields) => {
    const found = plans.get(String(plan))
    if (found === undefined) throw new Error(`there is no plan ${String(plan)}`)
    return found
  }
  const parts = { bug, executions, planOf, values }
  const daemonAt = (origin: string, makeRoute: MakeRoute) =>
    new Daemon({ origin, network, settings: values, makeRoute, makeLog: bug.makeLog })
  const daemons = [
    daemonAt(queen, queenRoute(parts)),
    ...hives.map((hive) => daemonAt(originOf(hive), hiveRoute(parts)))
  ]
  // Loading takes real time, which the simulated time must not contain.
  yield* loadDaemonApi
  for (const daemon of daemons) yield* daemon.start()

  const submit = Duration.millis(bug.clientSubmit ?? limits.submit)
  const client = yield* Layer.build(
    Layer.merge(DaemonClient.layerNoDeps, JobsClient.layerNoDeps).pipe(
      Layer.provide(
        clientLayer({ ...values, timeouts: { ...values.timeouts, submit } }, network.client().http)
      )
    )
  )
  const clients = new Clients({
    client: Context.get(client, JobsClient),
    daemons: Context.get(client, DaemonClient),
    clock: yield* Clock.Clock,
    random,
    queen: { url: queen },
    submitLimit: limits.submit
  })
  return { seed, faultRate, network, executions, plans, daemons, clients }
})

export type Fleet = Effect.Success<ReturnType<typeof makeFleet>>
