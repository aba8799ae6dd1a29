import * as Command from "effect/cli/Command"
import { SshTest } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveSshTest = Command.make("ssh-test", { alias }, ({ alias }) =>
  runTyped(SshTest, { alias })
).pipe(
  Command.withDescription("Try the way to another machine by ssh"),
  Command.withExamples([{ command: "rbee hive ssh-test atlas" }])
)
