import type { AgentStatus } from "../../agent/status.ts";

/** Of an agent that enforces. */
export const STATUS: AgentStatus = {
  name: "host1",
  zone: "restricted",
  version: "0.1.0",
  pid: 1,
  state: "enforcing",
  epoch: "e1",
  revision: 7,
  digest: "0".repeat(32),
  rules: 1,
  refused: 0,
  trust: 0,
  trustRefused: 0,
  pending: 0,
  alarms: [],
  lanes: { ip: true, ipcert: false, roaming: false },
  floor: true,
  feed: { connected: true, address: "https://control.example:8444", silentMs: 3, ahead: false, unknownMessages: 0 },
  certificate: { notAfter: 3_000 },
  serviceCertificate: { notAfter: 5_000 },
  notCompared: [],
  lastApply: { atMs: 1_000, tookMs: 0.9, changes: 1 },
  time: { registryMs: 2_000, skewMs: 1 },
};
