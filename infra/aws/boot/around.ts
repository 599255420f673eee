import type { BootFile } from "./input.ts";

/**
 * What the network around an instance takes: no group lets NTP out, and AWS tells the time at an address that groups do not reach; none
 * lets ICMP in, so that a client behind a narrower path (a tunnel) would wait for ever for what is larger: TCP finds it out by itself.
 */
export const aroundFiles: readonly BootFile[] = [
  { path: "/etc/systemd/timesyncd.conf.d/entityos-instance.conf", mode: "0644", text: "[Time]\nNTP=169.254.169.123\n" },
  { path: "/etc/chrony/sources.d/entityos-instance.sources", mode: "0644", text: "server 169.254.169.123 prefer iburst\n" },
  { path: "/etc/sysctl.d/entityos-instance.conf", mode: "0644", text: "net.ipv4.tcp_mtu_probing = 1\n" },
];

/** Whichever of them this image has. */
export const aroundTaken = `for unit in systemd-sysctl systemd-timesyncd chrony; do systemctl try-restart "$unit.service" 2>/dev/null || true; done
`;
