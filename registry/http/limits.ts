/** Named bounds of the register role (docs/protocol.md). */
export const REGISTER = {
  maxBodyBytes: 16 * 1024,
  maxHeaderBytes: 16 * 1024,
  maxConnections: 10_000,
  /** From the first byte of a request to its last. */
  requestTimeoutMs: 10_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  keepAliveMs: 10_000,
  /** How long a registration waits for its outcome before it is told "stored". */
  outcomeWaitMs: 2_000,
  /** Registrations that wait at one time; the next ones are told "stored" at once. */
  maxWaiting: 4_096,
  /** Requests of any other kind that one source may make in a minute. */
  requestsPerMinute: 600,
  /** Sources whose requests are counted; the one unseen for longest makes room. */
  maxSources: 20_000,
} as const;
