import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { HiveImportSsh } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"

const sshConfig = Flag.String("ssh-config").pipe(
  Flag.withDescription("Path of the ssh config on the queen's machine (default: ~/.ssh/config)"),
  Flag.withDefault("~/.ssh/config")
)
const hivePort = Flag.Int("hive-port").pipe(
  Flag.withDescription("HivePort of the imported hives (default: 8081)"),
  Flag.withDefault(8081)
)

export const hiveImportSsh = Command.make("import-ssh", { sshConfig, hivePort }, ({ hivePort, sshConfig }) =>
  runArguments(HiveImportSsh, { ssh_config_path: sshConfig, default_hive_port: hivePort })
).pipe(
  Command.withDescription("Import hosts from an ssh config into hives.conf; existing entries are kept"),
  Command.withExamples([
    { command: "rbee hive import-ssh" },
    { command: "rbee hive import-ssh --hive-port 9000" }
  ])
)
