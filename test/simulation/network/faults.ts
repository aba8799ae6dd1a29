import type { Random } from "../../support/Random.ts"

/** What goes wrong with one request; `chunks` counts the pieces of the body that arrive before it. */
export type Fault =
  | { readonly _tag: "None" }
  /** The server's machine refuses the connection. */
  | { readonly _tag: "Refused" }
  /** Nothing answers at the server's address. */
  | { readonly _tag: "NoConnection" }
  /** The connection is reset before the server has the request. */
  | { readonly _tag: "RequestLost" }
  /** The connection is reset after the server has carried out the request, before the client has an answer. */
  | { readonly _tag: "AnswerLost" }
  /** The server carries out the request, and its answer goes nowhere. */
  | { readonly _tag: "Mute" }
  /** The answer takes longer. */
  | { readonly _tag: "Slow"; readonly millis: number }
  /** A proxy answers in place of the server. */
  | { readonly _tag: "Proxy"; readonly status: number }
  /** The connection is reset in the middle of the body. */
  | { readonly _tag: "Reset"; readonly chunks: number }
  /** The body ends as if it were complete. */
  | { readonly _tag: "HungUp"; readonly chunks: number }
  /** Nothing more arrives, and neither side knows. */
  | { readonly _tag: "Silent"; readonly chunks: number }
  /** The server takes the client for one that knows fewer events than it does. */
  | { readonly _tag: "Repeats"; readonly events: number }

/** How often a request goes wrong, from 0 to 1. */
export type FaultRate = number

const none: Fault = { _tag: "None" }

/** The fault of the next request, as the random numbers decide. */
export const nextFault = (random: Random, rate: FaultRate): Fault => {
  if (!random.chance(rate)) return none
  const chunks = random.whole(0, 8)
  return random.pick<Fault>([
    { _tag: "Refused" },
    { _tag: "NoConnection" },
    { _tag: "RequestLost" },
    { _tag: "AnswerLost" },
    { _tag: "Mute" },
    { _tag: "Slow", millis: random.whole(100, 6_000) },
    { _tag: "Proxy", status: random.pick([429, 502, 503, 504]) },
    { _tag: "Reset", chunks },
    { _tag: "Reset", chunks },
    { _tag: "HungUp", chunks },
    { _tag: "Silent", chunks },
    { _tag: "Silent", chunks },
    { _tag: "Repeats", events: random.whole(1, 5) }
  ])
}
