import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RefusedOperation } from "../operation/errors.ts"
import type { InterruptedJob } from "./JobRecovery.ts"
import type { Submission, Work } from "./Submission.ts"

/** Decodes a request and finds the work that answers it. The queen and the hive have different routers. */
export class OperationRouter extends Context.Service<
  OperationRouter,
  {
    /** Fails for an invalid request; later errors are failures of the job. */
    readonly route: (body: string) => Effect.Effect<Submission, RefusedOperation>
    /** The work that continues an interrupted job where another process runs it; absent: no other process does. */
    readonly resume?: (job: InterruptedJob) => Work | undefined
  }
>()("rbee/job/OperationRouter") {}
