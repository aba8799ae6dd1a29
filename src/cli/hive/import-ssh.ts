import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { HiveImportSsh } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"

const sshConfig = Flag.String("ssh-config").pipe(
  Flag.withDescription("The ssh configuration to read, on the queen's machine"),
  Flag.withDefault("~/.ssh/config")
)
const hivePort = Flag.Int("hive-port").pipe(
  Flag.withDescription("The port on which the hives will listen"),
  Flag.withDefault(8081)
)

export const hiveImportSsh = Command.make("import-ssh", { sshConfig, hivePort }, ({ hivePort, sshConfig }) =>
  runTyped(HiveImportSsh, { ssh_config_path: sshConfig, default_hive_port: hivePort })
).pipe(
  Command.withDescription(
    "Take the hosts of an ssh configuration over into hives.conf; entries that are there stay"
  ),
  Command.withExamples([
    { command: "rbee hive import-ssh" },
    { command: "rbee hive import-ssh --hive-port 9000" }
  ])
)
