import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

const own = (file: string) => new URL(file, import.meta.url).pathname

/** The pinned packages, for pip. */
export const requirements = own("requirements.txt")

/** The text of the program that is installed as `llama-server`. */
export const launcher = readFileSync(own("llama-server.py"), "utf8")

/** Where the engine is installed: `RBEE_TEST_ENGINES`, else a folder of the user's cache. */
export const engineFolder =
  process.env["RBEE_TEST_ENGINES"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "rbee-test-engines")

/** Identifies what is installed: another version of the packages or the program has another stamp. */
export const stamp = createHash("sha256").update(readFileSync(requirements)).update(launcher).digest("hex")

const stampFile = join(engineFolder, "stamp")

/** Why the engine cannot be used; absent when it can. */
export const missing =
  existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp
    ? undefined
    : `the test engine is not in ${engineFolder}; install it with 'npm run test:engines'`
