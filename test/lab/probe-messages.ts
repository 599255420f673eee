/** What a probe can be asked, and what it answers. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
}

export interface RegisterAsk {
  /** "https://203.0.113.2" */
  readonly url: string;
  readonly ca: string;
  readonly registry: string;
  readonly code: string;
  readonly addresses: readonly string[];
  /** PEM of a request for a certificate. */
  readonly csr?: string;
  readonly localAddress?: string;
}

/** PEM of a client's certificate with its chain, and of its key. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface Asks {
  connect: Target & { readonly timeoutMs: number };
  watch: Target & { readonly everyMs: number; readonly timeoutMs: number };
  /** Attempts at every target at once, again every `everyMs`, until `calm`. */
  storm: { readonly targets: readonly Target[]; readonly everyMs: number };
  calm: Record<string, never>;
  register: RegisterAsk;
  get: Target & { readonly path: string; readonly ca: string; readonly timeoutMs: number; readonly client?: ClientCertificate };
  download: Target & { readonly path: string; readonly ca: string; readonly client?: ClientCertificate };
  progress: { readonly download: number };
  /** Sends a byte on the download's connection. */
  speak: { readonly download: number };
  hangUp: { readonly download: number };
  mark: { readonly host: string; readonly port: number };
}

export interface Answers {
  connect: { readonly outcome: "open" | "refused" | "silent"; readonly detail: string; readonly sentAt: number; readonly ms: number };
  watch: { readonly startedAt: number; readonly sentAt: number; readonly openAt: number; readonly attempts: number };
  storm: Record<string, never>;
  /** `answered` counts attempts that got anything back. */
  calm: { readonly attempts: number; readonly answered: number };
  /** `sentAt` is the moment the request was written to an open TLS connection. */
  register: { readonly status: number; readonly body: unknown; readonly sentAt: number; readonly answeredAt: number };
  get: { readonly status: number; readonly body: string; readonly ms: number };
  download: { readonly download: number; readonly localPort: number };
  progress: { readonly bytes: number; readonly lastByteAt: number; readonly open: boolean };
  speak: Record<string, never>;
  hangUp: Record<string, never>;
  mark: Record<string, never>;
}
