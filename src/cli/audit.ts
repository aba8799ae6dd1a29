import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { AuditList } from "../operation/fleetOperations.ts"
import { runArguments } from "./operationCommand.ts"
import { sinceFlag, sinceTime } from "./since.ts"

const limit = Flag.Int("limit").pipe(
  Flag.withDescription("The number of operations to list, the newest ones"),
  Flag.withDefault(100)
)

export const audit = Command.make(
  "audit",
  { since: sinceFlag, limit },
  Effect.fnUntraced(function* ({ limit, since }) {
    yield* runArguments(AuditList, { since: yield* sinceTime(since), limit })
  })
).pipe(
  Command.withDescription(
    "List the operations that changed something: when, who, what, and the outcome. The caller is 'token' or 'key' with a fingerprint ('rbee key list' shows the ids of keys), or 'local' where no credential is needed"
  ),
  Command.withExamples([{ command: "rbee audit" }, { command: "rbee audit --since 7d --json" }])
)
