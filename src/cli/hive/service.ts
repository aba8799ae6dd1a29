import * as path from "node:path"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { variable } from "../../settings/environment.ts"
import { Paths } from "../../settings/Paths.ts"
import { Settings } from "../../settings/Settings.ts"
import { daemonFlags, programFile } from "../../system/Program.ts"
import { BadInput } from "../errors.ts"
import { checkHiveId, ownHiveId } from "../flags.ts"
import { Output } from "../Output.ts"

const print = Flag.Boolean("print").pipe(
  Flag.withDescription("Print the unit and change nothing; it is the only thing that this command does"),
  Flag.withDefault(false)
)
const kind = Flag.Literals("kind", ["systemd", "launchd"]).pipe(
  Flag.withDescription("For which service manager; that of this machine when it is not given"),
  Flag.optional
)
const id = ownHiveId("The id of the hive")

interface Service {
  readonly id: string
  readonly program: ReadonlyArray<string>
  readonly environment: Readonly<Record<string, string>>
  readonly logFile: string
}

// systemd.exec(5): % begins a specifier, and a value may stand in quotes.
const forSystemd = (text: string) => `"${text.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`
const asCommandWord = (text: string) => forSystemd(text).replaceAll("$", "$$$$")

/** A unit for systemd's user manager. The workers end with the hive only when it is stopped, not when it is killed. */
export const systemdUnit = ({ environment, id, program }: Service) =>
  [
    "[Unit]",
    `Description=rbee hive ${id}`,
    "After=network-online.target",
    "Wants=network-online.target",
    "",
    "[Service]",
    ...Object.entries(environment).map(([name, value]) => `Environment=${forSystemd(`${name}=${value}`)}`),
    `ExecStart=${program.map(asCommandWord).join(" ")}`,
    "Restart=always",
    "RestartSec=2",
    "KillMode=process",
    "TimeoutStopSec=30",
    "",
    "[Install]",
    "WantedBy=default.target"
  ].join("\n")

const xml = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** A property list for launchd. */
export const launchdPlist = ({ environment, id, logFile, program }: Service) =>
  [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    "<dict>",
    "  <key>Label</key>",
    `  <string>rbee.hive.${xml(id)}</string>`,
    "  <key>ProgramArguments</key>",
    "  <array>",
    ...program.map((word) => `    <string>${xml(word)}</string>`),
    "  </array>",
    "  <key>EnvironmentVariables</key>",
    "  <dict>",
    ...Object.entries(environment).flatMap(([name, value]) => [
      `    <key>${xml(name)}</key>`,
      `    <string>${xml(value)}</string>`
    ]),
    "  </dict>",
    "  <key>RunAtLoad</key>",
    "  <true/>",
    "  <key>KeepAlive</key>",
    "  <true/>",
    "  <key>AbandonProcessGroup</key>",
    "  <true/>",
    "  <key>StandardErrorPath</key>",
    `  <string>${xml(logFile)}</string>`,
    "</dict>",
    "</plist>"
  ].join("\n")

const kept = ["RBEE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"]

export const hiveService = Command.make(
  "service",
  { print, kind, id },
  Effect.fnUntraced(function* (typed) {
    if (!typed.print) {
      return yield* new BadInput({
        message: "Say --print: rbee writes the unit to stdout, and leaves it to you where it goes"
      })
    }
    yield* checkHiveId(typed.id)
    const output = yield* Output
    const { hive } = yield* Settings
    const { state } = yield* Paths
    const hiveId = Option.getOrElse(typed.id, () => hive.id)
    const given = yield* Effect.forEach(kept, (name) =>
      Effect.map(
        variable(name),
        Option.map((value) => [name, value] as const)
      )
    )
    const service: Service = {
      id: hiveId,
      program: [process.execPath, ...daemonFlags, programFile, "hive", "serve", "--hive-id", hiveId],
      environment: Object.fromEntries(given.flatMap(Option.toArray)),
      logFile: path.join(state, "logs", `hive-${hiveId}.log`)
    }
    const manager = Option.getOrElse(typed.kind, () =>
      process.platform === "darwin" ? "launchd" : "systemd"
    )
    const unit = manager === "systemd" ? systemdUnit(service) : launchdPlist(service)
    yield* output.json ? output.answer({ kind: manager, unit }) : output.line(unit)
    yield* output.note(
      manager === "systemd"
        ? `For systemd: save it as ~/.config/systemd/user/rbee-hive.service, then 'systemctl --user enable --now rbee-hive'`
        : `For launchd: save it as ~/Library/LaunchAgents/rbee.hive.${hiveId}.plist, then 'launchctl load' that file`
    )
  })
).pipe(
  Command.withDescription("Print a unit for systemd or launchd that keeps this machine's hive running"),
  Command.withExamples([
    { command: "rbee hive service --print > ~/.config/systemd/user/rbee-hive.service" },
    { command: "rbee hive service --print --kind launchd" }
  ])
)
