import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Alias, AliasOrLocalhost, FilePath, Port } from "./fields.ts"
import { queenCommand, queenProbe, queenQuery } from "./Routing.ts"

/** Lists the hives of the fleet. */
export class HiveList extends Schema.Class<HiveList>("HiveList")({
  operation: Schema.tag("hive_list")
}) {
  static readonly routing = queenQuery
}

/** Returns the queen's record of a hive. */
export class HiveGet extends Schema.Class<HiveGet>("HiveGet")({
  operation: Schema.tag("hive_get"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenQuery
}

/** Checks whether a hive is healthy. */
export class HiveStatus extends Schema.Class<HiveStatus>("HiveStatus")({
  operation: Schema.tag("hive_status"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenQuery
}

/** Starts the daemon of a hive; succeeds if it is already running. */
export class HiveStart extends Schema.Class<HiveStart>("HiveStart")({
  operation: Schema.tag("hive_start"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenCommand
}

/** Stops the daemon of a hive and its workers; succeeds if it is not running. */
export class HiveStop extends Schema.Class<HiveStop>("HiveStop")({
  operation: Schema.tag("hive_stop"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenCommand
}

/** Installs or upgrades rbee on another machine over ssh. */
export class HiveInstall extends Schema.Class<HiveInstall>("HiveInstall")({
  operation: Schema.tag("hive_install"),
  alias: Alias
}) {
  static readonly routing = queenCommand
}

/** Stops the hive on another machine and removes rbee there; models are kept. */
export class HiveUninstall extends Schema.Class<HiveUninstall>("HiveUninstall")({
  operation: Schema.tag("hive_uninstall"),
  alias: Alias
}) {
  static readonly routing = queenCommand
}

/** Refreshes the cached device list of a hive. */
export class HiveRefreshCapabilities extends Schema.Class<HiveRefreshCapabilities>("HiveRefreshCapabilities")(
  {
    operation: Schema.tag("hive_refresh_capabilities"),
    alias: Alias
  }
) {
  static readonly routing = queenProbe
}

/** Tests the ssh connection to another machine. */
export class SshTest extends Schema.Class<SshTest>("SshTest")({
  operation: Schema.tag("ssh_test"),
  alias: Alias
}) {
  static readonly routing = queenProbe
}

/** Imports hosts from an ssh configuration into `hives.conf`; existing entries are kept. */
export class HiveImportSsh extends Schema.Class<HiveImportSsh>("HiveImportSsh")({
  operation: Schema.tag("hive_import_ssh"),
  ssh_config_path: FilePath.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("~/.ssh/config")),
    Schema.withConstructorDefault(Effect.succeed("~/.ssh/config"))
  ),
  default_hive_port: Port.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(8081)),
    Schema.withConstructorDefault(Effect.succeed(8081))
  )
}) {
  static readonly routing = queenCommand
}
