import { QueenDaemonApi } from "../daemon/DaemonApi.ts"
import { GatewayApi } from "../gateway/GatewayApi.ts"

/** All endpoints of a queen. */
export const QueenApi = QueenDaemonApi.addHttpApi(GatewayApi)
