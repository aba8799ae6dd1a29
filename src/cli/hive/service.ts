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
  Flag.withDescription("Print the unit to stdout (required)"),
  Flag.withDefault(false)
)
const kind = Flag.Literals("kind", ["systemd", "launchd"]).pipe(
  Flag.withDescription("Service manager (default: this machine's)"),
  Flag.optional
)
const id = ownHiveId("Id of the hive (default: the setting, localhost)")

interface Service {
  readonly id: string
  readonly program: ReadonlyArray<string>
  readonly environment: Readonly<Record<string, string>>
  readonly logFile: string
}

// systemd.exec(5): % begins a specifier; values may be quoted.
const forSystemd = (text: string) => `"${text.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`
const asCommandWord = (text: string) => forSystemd(text).replaceAll("$", "$$$$")

/** A unit for systemd's user manager. `KillMode=process` lets workers survive a killed hive. */
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

/** A launchd property list. */
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

const inheritedVariables = ["RBEE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"]

export const hiveService = Command.make(
  "service",
  { print, kind, id },
  Effect.fnUntraced(function* (args) {
    if (!args.print) {
      return yield* new BadInput({
        message: "--print is required: rbee prints the unit to stdout; install it yourself"
      })
    }
    yield* checkHiveId(args.id)
    const output = yield* Output
    const { hive } = yield* Settings
    const { state } = yield* Paths
    const hiveId = Option.getOrElse(args.id, () => hive.id)
    const variables = yield* Effect.forEach(inheritedVariables, (name) =>
      Effect.map(
        variable(name),
        Option.map((value) => [name, value] as const)
      )
    )
    const service: Service = {
      id: hiveId,
      program: [process.execPath, ...daemonFlags, programFile, "hive", "serve", "--hive-id", hiveId],
      environment: Object.fromEntries(variables.flatMap(Option.toArray)),
      logFile: path.join(state, "logs", `hive-${hiveId}.log`)
    }
    const manager = Option.getOrElse(args.kind, () => (process.platform === "darwin" ? "launchd" : "systemd"))
    const unit = manager === "systemd" ? systemdUnit(service) : launchdPlist(service)
    yield* output.json ? output.answer({ kind: manager, unit }) : output.line(unit)
    yield* output.note(
      manager === "systemd"
        ? `To install: save the unit as ~/.config/systemd/user/rbee-hive.service, then run 'systemctl --user enable --now rbee-hive'`
        : `To install: save the property list as ~/Library/LaunchAgents/rbee.hive.${hiveId}.plist, then run 'launchctl load' with that file`
    )
  })
).pipe(
  Command.withDescription("Print a systemd unit or launchd property list that keeps the local hive running"),
  Command.withExamples([
    { command: "rbee hive service --print > ~/.config/systemd/user/rbee-hive.service" },
    { command: "rbee hive service --print --kind launchd" }
  ])
)
