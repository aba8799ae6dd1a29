// Installs the real engine that tests use (`npm run test:engines`): the packages of requirements.txt, and a program
// `llama-server` that runs them. Does nothing when they are there already.
import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { engineFolder, launcher, missing, requirements, stamp } from "./installed.ts"

const python = process.env["RBEE_TEST_PYTHON"] ?? "python3"

const installPackages = () => {
  const packages = join(engineFolder, "packages")
  const fresh = `${packages}.new-${process.pid}`
  mkdirSync(engineFolder, { recursive: true })
  try {
    execFileSync(
      python,
      ["-m", "pip", "install", "--quiet", "--no-deps", "--target", fresh, "--requirement", requirements],
      { stdio: "inherit", env: { ...process.env, PIP_ROOT_USER_ACTION: "ignore" } }
    )
    rmSync(packages, { recursive: true, force: true })
    renameSync(fresh, packages)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  return packages
}

const shellWord = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`

if (missing === undefined) {
  process.stdout.write(`The test engine is in ${engineFolder} already\n`)
} else {
  const packages = installPackages()
  const interpreter = execFileSync(python, ["-c", "import sys; print(sys.executable)"], {
    encoding: "utf8"
  }).trim()
  // The interpreter by its path: what stands for it on the PATH may need a HOME that tests do not have.
  const copy = join(engineFolder, "llama-server.py")
  writeFileSync(copy, launcher)
  const program = join(engineFolder, "llama-server")
  writeFileSync(
    program,
    `#!/bin/sh\nPYTHONPATH=${shellWord(packages)} exec ${shellWord(interpreter)} ${shellWord(copy)} "$@"\n`
  )
  chmodSync(program, 0o755)
  writeFileSync(join(engineFolder, "stamp"), stamp)
  process.stdout.write(`The test engine is in ${engineFolder}\n`)
}
