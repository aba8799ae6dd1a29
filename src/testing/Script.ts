import * as Effect from "effect/Effect"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import { DaemonAccess } from "../daemon/Access.ts"
import { Caller } from "../daemon/Caller.ts"
import { jobsGroup } from "../daemon/DaemonApi.ts"
import { jobHandlers } from "../daemon/jobHandlers.ts"
import type { OperationError } from "../job/errors.ts"
import { Jobs } from "../job/Jobs.ts"
import { Ticker } from "../job/log/Follower.ts"
import type { JobEvent } from "../job/log/JobEvent.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import { streamWork } from "../job/Submission.ts"
import { type OperationRequest, readRequest } from "../operation/Catalog.ts"
import { Operation } from "../operation/Operation.ts"
import { unknownOperation } from "../operation/Routing.ts"
import { Settings } from "../settings/Settings.ts"

/** The answer of a fake to each operation: its events in order, or its failure. */
export type Script<E extends OperationError = OperationError> = (
  request: OperationRequest
) => Stream.Stream<JobEvent, E>

const scriptedRouter = (script: Script) =>
  Layer.succeed(
    OperationRouter,
    OperationRouter.of({
      route: (body) =>
        Effect.map(Effect.fromResult(readRequest(body)), (request) => ({
          operation: request.name,
          hiveId: request.hiveId,
          routing: unknownOperation,
          router: "hv-router",
          work: streamWork(() => script(request))
        }))
    })
  )

/** The settings of a fake: the defaults, independent of the environment. */
export const fakeSettings = Settings.layerDefaults()

/** The jobs of one fake: `Jobs`, and a router that answers from the script. */
export const scriptedJobs = (script: Script) => Layer.merge(scriptedRouter(script), Jobs.layer)

const everybody = Layer.succeed(
  DaemonAccess,
  DaemonAccess.of({
    daemonToken: (handler) => Effect.provideService(handler, Caller, { key: undefined, name: "local" })
  })
)

const JobsApi = HttpApi.make("rbee").add(jobsGroup(Operation))

/** The job endpoints of a daemon without access control. */
export const jobRoutes = HttpApiBuilder.layer(JobsApi).pipe(
  Layer.provide(jobHandlers),
  Layer.provide([everybody, HttpServer.layerServices])
)

/** The job endpoints of a hive that answers from a script. */
export const scriptedRoutes = (script: Script) =>
  jobRoutes.pipe(Layer.provide([scriptedJobs(script), Ticker.layer]), Layer.provide(fakeSettings))
