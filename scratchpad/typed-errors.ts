// How a program handles each typed error of forwarding, with a mocked `HiveForwarder`, as in a test.
// `node scratchpad/typed-errors.ts`
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { JobCancelled, JobFailed } from "../src/job/index.ts"
import { WorkerList } from "../src/operation/index.ts"
import {
  ConnectionFailed,
  type ForwardError,
  HiveForwarder,
  HiveNotFound,
  HiveTimeout,
  InvalidResponse
} from "../src/queen/index.ts"
import { fakeForwarder } from "../src/testing/index.ts"

/** What a program does about each error. A missing tag would stay in the error type. */
const advice = HiveForwarder.use(({ forward }) =>
  Stream.runDrain(forward(new WorkerList({ hive_id: "atlas" })))
).pipe(
  Effect.as("nothing to do"),
  Effect.catchTags({
    HiveNotFound: ({ known }) => Effect.succeed(`choose one of ${known.join(", ")}`),
    ConnectionFailed: ({ reason }) => Effect.succeed(`try again later: ${reason}`),
    InvalidResponse: ({ hive, status }) => Effect.succeed(`upgrade ${hive}, which answered ${status}`),
    HiveTimeout: ({ limit, seconds }) => Effect.succeed(`raise timeouts.${limit}, now ${seconds} s`),
    JobFailed: ({ code }) => Effect.succeed(`the hive's own error: ${code}`),
    JobCancelled: ({ confirmed }) => Effect.succeed(`cancelled, confirmed: ${confirmed}`)
  })
)

const errors: ReadonlyArray<ForwardError> = [
  new HiveNotFound({ hive: "atlas", known: ["boreas", "castor"] }),
  new ConnectionFailed({ hive: "atlas", reason: "refused" }),
  new InvalidResponse({ hive: "atlas", detail: "answered 500", status: 500 }),
  new HiveTimeout({ hive: "atlas", limit: "idle", seconds: 60 }),
  new JobFailed({ code: "ModelNotFound", sentence: "No such model" }),
  new JobCancelled({ confirmed: true })
]

// The layer fails with the error whatever is asked.
const program = Effect.forEach(errors, (error) =>
  advice.pipe(
    Effect.provide(fakeForwarder(() => Stream.fail(error))),
    Effect.flatMap((text) => Console.log(`${error._tag}: ${text}`))
  )
)

NodeRuntime.runMain(program)
