import type { FastifyRequest } from "fastify";
import type { AgentFeed, RegistryStatus } from "../../lib/admin/api.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { Metrics } from "../../lib/metrics.ts";
import type { Authorities } from "../ca/authorities.ts";
import type { InfrastructureCa } from "../ca/infrastructure.ts";
import type { RegistryConfig } from "../config.ts";
import type { ListenerFact } from "../process/ca-alarms.ts";
import type { Lead, Store } from "../store/store.ts";

/** What the feed knows of live agents, and what can be done about one. */
export interface FeedFacts {
  agents(): readonly (AgentFeed & { readonly name: string })[];
  /** How long the newest timed revision took until it stood on every connected host; null while none was timed. */
  spread(): RegistryStatus["spread"];
  /** Agents whose feed came with a certificate of the CA of that common name. */
  showing(issuer: string): readonly string[];
  /** Ends an agent's feed: its certificate is no longer the one that counts. */
  disconnect(name: string): void;
}

/** What the routes work with. */
export interface AdminParts {
  readonly config: RegistryConfig;
  readonly store: Store;
  readonly lead: Lead;
  readonly ca: InfrastructureCa;
  readonly authorities: Authorities;
  /** The registry's own listeners as they are now. */
  readonly listeners: () => readonly ListenerFact[];
  readonly feed: FeedFacts;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  /** Who asks, as the audit log names them: `operator:NAME` or `socket:uid0`. */
  actorOf(request: FastifyRequest): string;
  /** True over the local socket. */
  isLocal(request: FastifyRequest): boolean;
}
