import { assert, describe, it } from "@effect/vitest"
import { scriptFailure, sshFailure } from "../../../src/queen/ssh/sshFailure.ts"
import type { SshTarget } from "../../../src/queen/ssh/SshTarget.ts"

const target: SshTarget = { alias: "atlas", hostName: "10.0.0.7", port: 22, user: "me" }

const kindOf = (stderr: string) => {
  const failure = sshFailure(target, stderr)
  return failure?._tag === "SshUnreachable" ? failure.reason : failure?._tag
}

describe("sshFailure", () => {
  // The sentences are OpenSSH's, which ends its lines with CR LF.
  it.each([
    ["ssh: Could not resolve hostname atlas.lan: Name or service not known\r\n", "unresolved"],
    ["ssh: connect to host 10.0.0.7 port 22: Connection refused\r\nscp: Connection closed\r\n", "refused"],
    ["ssh: connect to host 10.0.0.7 port 22: Connection timed out\r\n", "timeout"],
    [
      "Connection timed out during banner exchange\r\nConnection to 10.0.0.7 port 22 timed out\r\n",
      "timeout"
    ],
    ["ssh: connect to host 10.0.0.7 port 22: No route to host\r\n", "noRoute"],
    ["ssh: connect to host 10.0.0.7 port 22: Network is unreachable\r\n", "noRoute"],
    ["kex_exchange_identification: Connection closed by remote host\r\n", "lost"],
    ["Connection to 10.0.0.7 closed by remote host.\r\n", "lost"],
    ["me@10.0.0.7: Permission denied (publickey,password).\r\n", "SshAuthenticationFailed"],
    ["Host key verification failed.\r\n", "SshHostKeyUntrusted"],
    ['scp: dest open "/srv/x": Permission denied\r\n', undefined],
    ["cat: /x: Permission denied\n", undefined]
  ])("takes %j for %s", (stderr, kind) => {
    assert.strictEqual(kindOf(stderr), kind)
  })
})

describe("scriptFailure", () => {
  it("redacts possible tokens and control characters, and truncates long output", () => {
    const token = "uZ3n0mWq8sT4rY6kP1xB9cV2aL5dF7gH"
    const lines = Array.from({ length: 50 }, (_, line) => `line ${line}`).join("\n")
    const stderr = `${lines}\n\u001b[31m${"x".repeat(9000)}\nsh: 3: ${token}: not found\nHF_TOKEN=abcdefgh\n`
    const { lastLines } = scriptFailure(target, "ssh", 127, stderr, ["/a/folder/with/its/names", token])
    assert.strictEqual(lastLines.length, 10)
    assert.deepStrictEqual(lastLines.slice(-2), ["sh: 3: [redacted]: not found", "HF_TOKEN=[redacted]"])
    assert.strictEqual(lastLines.at(-3)?.length, 500)
    assert.notInclude(lastLines.join(), "\u001b")
  })
})
