import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RefusedOperation } from "../operation/errors.ts"
import type { Submission } from "./Submission.ts"

/** Finds what a body asks for, and who answers it. The queen and the hives each have their own. */
export class OperationRouter extends Context.Service<
  OperationRouter,
  {
    /** Refuses what is not in order; whatever goes wrong later is the job's failure. */
    readonly route: (body: string) => Effect.Effect<Submission, RefusedOperation>
  }
>()("rbee/job/OperationRouter") {}
