import type { PeerError } from "../../job/client/clientErrors.ts"
import { ConnectionFailed, HiveTimeout, InvalidResponse } from "./errors.ts"

/** The queen's error for a failed request to a hive. */
export const fromPeer =
  (hive: string) =>
  (error: PeerError): ConnectionFailed | HiveTimeout | InvalidResponse => {
    switch (error._tag) {
      case "PeerUnreachable":
        return new ConnectionFailed({ hive, reason: error.reason, cause: error })
      case "PeerMisspoke":
      case "PeerHungUp":
        return new InvalidResponse({ hive, detail: error.detail })
      case "PeerRefused":
        return new InvalidResponse({
          hive,
          detail: `answered ${error.status}: ${error.detail}`,
          status: error.status
        })
      case "PeerTimeout":
        return new HiveTimeout({ hive, limit: error.limit, seconds: error.millis / 1000 })
    }
  }
