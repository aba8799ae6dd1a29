/** One cell of the kill matrix: what fails, how and when, for which client, and what that client gets. */
export interface Cell {
  readonly fails: "client" | "queen" | "hive" | "worker" | "client-queen" | "queen-hive"
  /** A process is killed or stopped for a while; a connection is cut or lets nothing pass. */
  readonly by: "SIGKILL" | "SIGSTOP" | "cut" | "half-open"
  readonly phase: "decoding"
  readonly client: "infer" | "streamed chat" | "whole chat"
  readonly outcome: Outcome
  /** What becomes of its job. */
  readonly job: "completed" | "failed" | "cancelled"
  /** How many seconds may pass from the fault to the outcome. */
  readonly within: number
}

/**
 * `whole`: the client has the text of an undisturbed run, each event once; `continued`: the same up to the fault, and from
 * there an answer that another worker went on with; `broken`: it has a part of the text and learns that the
 * rest does not come, by an error or by the end of its connection.
 */
export type Outcome = "whole" | "continued" | "broken"

export const nameOf = ({ by, client, fails, job, outcome, phase, within }: Cell) =>
  `${fails}, ${by}, ${phase}, ${client}: ${outcome}, job ${job} within ${within} s`
