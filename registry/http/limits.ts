/** Named bounds of the register role (docs/protocol.md). */
export const REGISTER = {
  maxBodyBytes: 16 * 1024,
  maxHeaderBytes: 16 * 1024,
  /** Connections at one time, of all sources and of one. */
  maxConnections: 10_000,
  maxConnectionsPerSource: 256,
  /** From the first byte of a request to its last. */
  requestTimeoutMs: 10_000,
  handshakeTimeoutMs: 10_000,
  /** From a load balancer's connection to the end of its PROXY header. */
  proxyHeaderTimeoutMs: 5_000,
  idleTimeoutMs: 30_000,
  keepAliveMs: 10_000,
  /** How long a listener that closes waits for answers that are under way. */
  lastAnswersMs: 5_000,
  /** How long a registration waits for its outcome before it is told "stored". */
  outcomeWaitMs: 2_000,
  /** An EST client that is told 202 comes again after this. */
  estRetryS: 5,
  /** Registrations that wait at one time; the next ones are told "stored" at once. */
  maxWaiting: 4_096,
  /** Event streams at one time, of all sources and of one. */
  maxStreams: 512,
  maxStreamsPerSource: 16,
  /** A stream that has not come to its end by then ends without it. */
  streamLifeMs: 10 * 60_000,
  /** A stream says this often that it lives; it must be below the idle timeout. */
  streamBeatMs: 10_000,
  /** Whose stream ended before its time is told to come again after this, or half as much more: so that not all come at once. */
  streamRetryMs: 1_000,
  /** Requests of any other kind that one source may make in a minute. */
  requestsPerMinute: 600,
  /** Sources whose requests are counted; the one unseen for longest makes room. */
  maxSources: 20_000,
} as const;
