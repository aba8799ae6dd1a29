import * as Command from "effect/cli/Command"
import { SshTest } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveSshTest = Command.make("ssh-test", { alias }, ({ alias }) =>
  runArguments(SshTest, { alias })
).pipe(
  Command.withDescription("Test the ssh connection to another machine"),
  Command.withExamples([{ command: "rbee hive ssh-test atlas" }])
)
