import type { Cell } from "./Cell.ts"

type End = readonly [Cell["outcome"], Cell["job"]]

/** The same fault for each of the clients, with what each of them gets. */
const each = (
  cell: Omit<Cell, "client" | "outcome" | "job">,
  ends: { readonly infer: End; readonly streamed: End; readonly whole: End }
): ReadonlyArray<Cell> => [
  { ...cell, client: "infer", outcome: ends.infer[0], job: ends.infer[1] },
  { ...cell, client: "streamed chat", outcome: ends.streamed[0], job: ends.streamed[1] },
  { ...cell, client: "whole chat", outcome: ends.whole[0], job: ends.whole[1] }
]

const same = (end: End) => ({ infer: end, streamed: end, whole: end })

const unnoticed = same(["whole", "completed"])
const phase = "decoding"

/** All cells of the matrix. */
export const allCells: ReadonlyArray<Cell> = [
  ...each({ fails: "hive", by: "SIGKILL", phase, within: 10 }, unnoticed),
  // `infer` names its hive, so that no scheduler goes on with it.
  ...each(
    { fails: "worker", by: "SIGKILL", phase, within: 10 },
    { ...same(["continued", "completed"]), infer: ["broken", "failed"] }
  ).filter(({ client }) => client === "infer"),
  // The answer goes on, but a connection of an application ends with the queen.
  ...each(
    { fails: "queen", by: "SIGKILL", phase, within: 10 },
    { ...same(["broken", "completed"]), infer: ["whole", "completed"] }
  ),
  ...each({ fails: "client", by: "SIGKILL", phase, within: 5 }, same(["broken", "cancelled"])),
  ...each({ fails: "client", by: "SIGSTOP", phase, within: 10 }, unnoticed).filter(
    // A client that reads nothing before the end does not notice that it reads nothing.
    ({ client }) => client !== "whole chat"
  ),
  ...each({ fails: "queen", by: "SIGSTOP", phase, within: 10 }, unnoticed),
  ...each({ fails: "hive", by: "SIGSTOP", phase, within: 10 }, unnoticed),
  ...each({ fails: "worker", by: "SIGSTOP", phase, within: 10 }, unnoticed),
  ...each(
    { fails: "client-queen", by: "cut", phase, within: 10 },
    { ...same(["broken", "cancelled"]), infer: ["whole", "completed"] }
  ),
  // An application gives up by itself; the queen has written the answer into the connection by then.
  ...each(
    { fails: "client-queen", by: "half-open", phase, within: 10 },
    { ...same(["broken", "completed"]), infer: ["whole", "completed"] }
  ),
  ...each({ fails: "queen-hive", by: "cut", phase, within: 10 }, unnoticed),
  ...each({ fails: "queen-hive", by: "half-open", phase, within: 10 }, unnoticed)
]

/** Those that every run of the tests has: the others wait for time limits. */
const representative = allCells.filter(
  ({ by, client }) => by === "SIGKILL" || by === "cut" || client === "infer"
)

/** `RBEE_TEST_MATRIX=all` runs all of them. */
export const cells = process.env["RBEE_TEST_MATRIX"] === "all" ? allCells : representative
