import { FLOOR_TABLE, LANE_MARK, LANES } from "../../lib/service.ts";
import type { GateConfig } from "../config.ts";
import { fromNetworks, portList } from "./standard.ts";
import type { Structure } from "./structure.ts";

/** Clients' ports: offers may come unasked for, from whoever serves them (RFC 2131 §4.1, RFC 8415 §7.2). */
const DHCP = [68, 546];

const listenersOf = (gate: GateConfig): number[] => LANES.map((lane) => gate.listeners[lane]);
const unique = (ports: readonly number[]): number[] => [...new Set(ports)];

/**
 * Table `inet entityos_floor`: what holds while the gate's table is missing. It knows no registered address, only the lane marks that the gate sets,
 * and drops everything of service and listener ports that carries none, in both directions.
 * @param table that, or {@link GROUND_TABLE}: the same rules held by entityos-floor.service, also while no agent runs
 * @param gates the ports of all of them are covered: of two while one gate takes the other's place
 */
export function floorStructure(gates: readonly GateConfig[], table: string = FLOOR_TABLE): Structure {
  const admitted = unique(gates.flatMap((gate) => [...gate.servicePorts, ...listenersOf(gate)]));
  const ports = portList(admitted);
  const local = `iif lo tcp dport ${portList(unique(gates.flatMap(listenersOf)))} drop`;
  const strange = `meta mark != { ${LANES.map((lane) => `0x${LANE_MARK[lane].toString(16)}`).join(", ")} } drop`;
  return {
    table,
    // The kernel lets no other process flush or delete it, and takes it away when its owner's socket closes.
    flags: "owner",
    sets: [],
    chains: [
      {
        name: "prerouting",
        // Before conntrack and NAT: a redirect that someone else installs cannot lead around it.
        hook: "type filter hook prerouting priority raw + 10; policy accept;",
        rules: [local, "iif lo accept", "fib daddr type unicast accept", `tcp dport ${ports} ${strange}`],
      },
      {
        name: "input",
        hook: "type filter hook input priority filter + 10; policy accept;",
        // Naming conntrack here keeps it running while the gate is away: it would lose track of open flows and call them invalid for good.
        rules: [
          "iif lo accept",
          `tcp dport ${ports} ${strange}`,
          "ct state invalid drop",
          // Nothing new that the gate would not let in: closed ports answer with RST.
          ...gates.flatMap(({ management, probe }) => [
            ...fromNetworks(management.ports, management.networks),
            ...fromNetworks([probe.port], probe.networks),
          ]),
          `ct state new meta l4proto { tcp, udp } th dport != ${portList(unique([...admitted, ...DHCP]))} drop`,
        ],
      },
      {
        name: "output",
        hook: "type filter hook output priority filter + 10; policy accept;",
        rules: [
          "oif lo accept",
          `tcp sport ${ports} ${strange}`,
          `icmp type { echo-reply, timestamp-reply, destination-unreachable, redirect, time-exceeded, parameter-problem } ${strange}`,
          `icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-redirect } ${strange}`,
        ],
      },
    ],
  };
}
