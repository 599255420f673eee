import { type Desired, sha256Of } from "./desired.ts";
import { canonicalName, type Observed } from "./observed.ts";

const DAY_MS = 24 * 60 * 60_000;
/** A service's certificate with less than this left is made anew: control signs them for a year, and the agent renews them with a third of it left. */
const RENEW_BEFORE_MS = 120 * DAY_MS;
/** An agent renews its own certificate long before: one with less than this left no longer can, and is enrolled anew. */
const AGENT_ENDS_BEFORE_MS = DAY_MS;

/** A terminator is reloaded whenever a list of revoked certificates is new, and serves meanwhile (systemctl(1), "is-active"). */
const RUNNING: ReadonlySet<string> = new Set(["active", "reloading"]);

/** What of a host is not as it is to be, in words. */
export interface Differences {
  readonly packages: readonly string[];
  readonly files: readonly string[];
  /** Enrolment, and the certificate of the service. */
  readonly enrolment: readonly string[];
  readonly units: readonly string[];
  readonly record: readonly string[];
}

/** @param now integer ms */
export function differencesOf(desired: Desired, observed: Observed, now: number): Differences {
  return {
    packages: [
      ...desired.packages.flatMap(({ name, version, sha256 }) => {
        const has = observed.packages[name];
        if (has === undefined) return [`${name} is not installed`];
        if (has !== version) return [`${name} is ${has}, to be ${version}`];
        const deployed = observed.record?.packages[name];
        return deployed === sha256 ? [] : [`${name} ${version} is of another build`];
      }),
      ...desired.system.filter((name) => observed.packages[name] === undefined).map((name) => `${name} is not installed`),
    ],
    files: Object.entries(desired.files).flatMap(([path, text]) => {
      const has = observed.files[path];
      if (has === undefined) return [`${path} is not there`];
      return has === sha256Of(text) ? [] : [`${path} is another`];
    }),
    enrolment: desired.zone === null ? [] : enrolmentDifferences(desired, observed, now),
    units: desired.units.flatMap((unit) => {
      const { active = "not there", enabled = "not there" } = observed.units[unit] ?? {};
      return [
        ...(RUNNING.has(active) ? [] : [`${unit} is ${active}`]),
        ...(enabled === "enabled" ? [] : [`${unit} is ${enabled || "unknown"}`]),
      ];
    }),
    record: [
      ...(observed.record === null ? ["it was never deployed whole"] : []),
      ...(observed.unfinished ? ["a deploy of it was interrupted"] : []),
    ],
  };
}

function enrolmentDifferences({ service, zone }: Desired, observed: Observed, now: number): string[] {
  if (!observed.enrolled) return ["it is not enrolled"];
  const was = observed.record?.zone ?? zone;
  if (was !== zone) return [`it is enrolled for the zone ${was}, to be for ${zone}`];
  const { agentEnds } = observed;
  if (agentEnds !== null && agentEnds - now < AGENT_ENDS_BEFORE_MS) return [`its agent's certificate ends on ${dayOf(agentEnds)}`];
  if (service.length === 0) return [];
  if (observed.service === null) return ["service.crt is not there"];
  const [has, wanted] = [observed.service.names.join(" "), service.map(canonicalName).sort().join(" ")];
  if (has !== wanted) return [`service.crt is for ${has}, to be for ${wanted}`];
  const { notAfter } = observed.service;
  return notAfter - now < RENEW_BEFORE_MS ? [`service.crt ends on ${dayOf(notAfter)}`] : [];
}

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

/**
 * What is not well on a host, but no deploy would mend: a feed that is down, because the registry or what is between them is. It is told
 * and not counted, or every host would be deployed while the registry is away.
 */
export function notesOf({ zone }: Desired, { agent, units }: Observed): readonly string[] {
  if (zone === null || units["entityos-agent.service"]?.active !== "active") return [];
  if (agent === null) return ["its agent runs and does not answer"];
  if (agent.state === "enforcing" && agent.feed.connected) return [];
  const alarms = agent.alarms.map(({ name }) => name).join(", ");
  return [`its agent is ${agent.state}, the feed is ${agent.feed.connected ? "connected" : "down"}, alarms: ${alarms || "none"}`];
}

export const wordsOf = (differences: Differences): readonly string[] => [
  ...differences.packages,
  ...differences.files,
  ...differences.enrolment,
  ...differences.units,
  ...differences.record,
];
