/** Named bounds of the feed, `entityos.feed.v1` (docs/protocol.md). */
export const FEED = {
  subprotocol: "entityos.feed.v1",
  path: "/v1/feed",
  /** Largest message either side accepts, bytes. */
  maxMessageBytes: 1 << 20,
  /** Most changes in one `changes` message, and most rules in one `snapshot.chunk`. */
  maxChangesPerMessage: 1_000,
  maxRulesPerChunk: 10_000,
  /** Most rules a snapshot may announce. */
  maxRules: 5_000_000,
  /** Most trust entries a snapshot may announce: those below together. */
  maxTrust: 4_000_100,
  /** Most trust entries by their target: for 2,000,000 devices a certificate and a binding each, and their CAs. */
  maxTrustOf: { ca: 50, crl: 50, certificate: 2_000_000, binding: 2_000_000 },
  /** Longest body of a trust entry by its target, characters: a CRL's holds 256 KiB in base64. */
  maxTrustBody: { ca: 16_384, crl: 360_000, certificate: 1_024, binding: 128 },
  /** An agent acknowledges at most this often. */
  ackIntervalMs: 100,
  /** Heartbeats go out this often; a peer silent for three of them is gone. */
  heartbeatMs: 5_000,
  /** Longest interval that a registry may ask for. */
  maxHeartbeatMs: 60_000,
  missedHeartbeats: 3,
  /** From open socket to hello, and from hello to welcome. */
  helloTimeoutMs: 10_000,
  reconnectMinMs: 200,
  reconnectMaxMs: 30_000,
  /** Longest window that a registry may spread its agents over when it restarts. */
  maxSpreadMs: 60_000,
  /** Longest window that it may spread their renewals over when a CA leaves. */
  maxRenewSpreadMs: 600_000,
  /** An agent whose feed another program took over waits at least half of this before it takes it back. */
  replacedWaitMs: 30_000,
} as const;

/** WebSocket close codes of our own (RFC 6455 §7.4.2: 4000–4999 are for private use). */
export const CLOSE = {
  protocol: 4400,
  unknownAgent: 4401,
  revoked: 4403,
  certificateEnded: 4405,
  helloTimeout: 4408,
  replaced: 4409,
  newEpoch: 4410,
  tooSlow: 4429,
  shutdown: 4503,
} as const;
