import { spawn } from "node:child_process"
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { Effect, Layer } from "effect"
import type { HiveEntry } from "../../src/hives/HivesConfFormat.ts"
import { Ssh } from "../../src/queen/ssh/Ssh.ts"
import { type SshTarget } from "../../src/queen/ssh/SshTarget.ts"

export const target: SshTarget = { alias: "atlas", hostName: "127.0.0.1", port: 22, user: "me" }

export const entry: HiveEntry = {
  aliases: ["atlas"],
  hostName: "127.0.0.1",
  port: 22,
  user: "me",
  hivePort: 8081
}

/** What a script printed, and how it ended. */
interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Another machine in a folder of this one: scripts run by /bin/sh as ssh runs them, copies are copies. */
export interface Machine {
  readonly home: string
  readonly rbeeHome: string
  /** The first folder of its PATH. */
  readonly bin: string
  readonly environment: Record<string, string>
  /** The names of the files that were copied to it. */
  readonly copied: Array<string>
  /** Called with each file that has arrived. */
  onCopy: (file: string) => void
}

export const makeMachine = (folder: string): Machine => {
  const home = join(folder, `the o'ther "home" $(x)`)
  const rbeeHome = join(home, "rbee home")
  const bin = join(folder, "bin")
  mkdirSync(home)
  mkdirSync(bin)
  const environment = { HOME: home, RBEE_HOME: rbeeHome, PATH: `${bin}:/usr/bin:/bin`, RBEE_TOKEN: "" }
  return { home, rbeeHome, bin, environment, copied: [], onCopy: () => {} }
}

/** Puts a program of its own onto the machine's PATH. */
export const addProgram = (machine: Machine, name: string, ...lines: ReadonlyArray<string>) => {
  const file = join(machine.bin, name)
  writeFileSync(file, ["#!/bin/sh", ...lines, ""].join("\n"))
  chmodSync(file, 0o755)
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

// The Node of this machine must not be found when another one is played.
const withoutOurNode = (script: string) =>
  script.replaceAll(/ \/(usr|opt|snap)(\/[a-z]+)*\/bin\/node(?=\s)| \/snap\/bin\/node/g, "")

const shell = ({ environment, home }: Machine, script: string, args: ReadonlyArray<string>) =>
  Effect.callback<Ran>((resume) => {
    const child = spawn("/bin/sh", ["-s"], { cwd: home, env: environment })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    child.stdin.end(`set -- ${args.map(quoted).join(" ")}\n${withoutOurNode(script)}`)
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** `Ssh` to that machine. A script that fails is a defect. */
export const sshTo = (machine: Machine) =>
  Layer.succeed(
    Ssh,
    Ssh.of({
      test: () => Effect.die(new Error("nobody tries the way to this machine")),
      run: (_, script, args = []) =>
        Effect.flatMap(shell(machine, script, args), ({ code, stderr, stdout }) =>
          code === 0 ? Effect.succeed(stdout) : Effect.die(new Error(`code ${code}: ${stderr}`))
        ),
      copy: (_, files, folder) =>
        Effect.sync(() => {
          for (const file of files) {
            const arrived = join(folder, basename(file))
            copyFileSync(file, arrived)
            machine.copied.push(basename(file))
            machine.onCopy(arrived)
          }
        })
    })
  )

/** Collects what is said. */
export const listener = () => {
  const sentences: Array<string> = []
  const say = (_: string, message: string) =>
    Effect.sync(() => {
      sentences.push(message)
    })
  return { sentences, say }
}
