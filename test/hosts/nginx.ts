import { basename } from "node:path";
import { expect } from "chai";
import { CUT_MARK } from "../../lib/service.ts";
import { waitFor } from "../lab/wait.ts";
import { reaches } from "./install.ts";
import type { Machine } from "./machine.ts";
import { ask, type Stand } from "./stand.ts";
import { provoke } from "./watch.ts";

const UNIT = "entityos-terminator-nginx";
const PROBE = "/run/systemd/system/entityos-probe.service";
const CONFIG = "/etc/entityos-agent/agent.yaml";
const LONG = { timeoutMs: 60_000, everyMs: 100 };

/** Has the host take nginx as its terminator. */
async function takeNginx(gate: Machine): Promise<void> {
  await gate.sh(`sed -i 's/kind: .*/kind: nginx/' ${CONFIG} && systemctl restart entityos-agent`);
  await reaches(gate, "enforcing");
}

/**
 * Whether what ends cut connections may do so in the agent's unit: ss and conntrack in one that is like it. The connection is one from this
 * host to its own SSH.
 */
async function endsConnections(gate: Machine): Promise<void> {
  await gate.sh(`
sed -E '/^(Exec|Type|Watchdog|Restart|LoadCredential|RuntimeDirectory|NotifyAccess)/d' /usr/lib/systemd/system/entityos-agent.service >${PROBE}
printf '%s\\n' '[Service]' Type=oneshot 'ExecStart=ss --kill --tcp --numeric --no-header "( sport = :22 ) and ( dst = 127.0.0.1 )"' \\
  'ExecStart=-conntrack --delete --family ipv4 --proto tcp --mark ${CUT_MARK}' >>${PROBE}
systemctl daemon-reload`);
  const held = gate.sh("timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 >/dev/null' || true");
  await waitFor("a connection", async () => (await gate.sh("ss -Htn 'sport = :22 and dst = 127.0.0.1'")) !== "" || undefined, LONG);
  await gate.sh(`systemctl start ${basename(PROBE)}`);
  const said = await gate.sh(`journalctl -q -o cat -u ${basename(PROBE)} | grep -E '^(ESTAB|conntrack v)'`);
  expect(said).to.match(/^ESTAB .*127\.0\.0\.1:22 .*\nconntrack .*: 0 flow entries have been deleted\.\n$/);
  await held;
  await gate.sh(`rm ${PROBE} && systemctl daemon-reload && systemctl reset-failed`);
}

/** nginx in the place of HAProxy, from the packages, on every gate; afterwards HAProxy again. */
export function nginxScenes(of: () => Stand): void {
  it("run nginx in the place of HAProxy where they are told to, with as little as it needs", async () => {
    const stand = of();
    const answered = (gate: Machine) =>
      waitFor("an answer", async () => (await ask(stand, stand.registered, gate)) === `${gate.name} answers` || undefined, LONG);
    for (const gate of stand.gates) {
      await using knocks = await provoke(stand.stranger, gate);
      await gate.sh(`cp -p ${CONFIG} ${CONFIG}.kept`);
      await takeNginx(gate);
      await answered(gate);
      expect(await gate.sh(`systemctl is-active ${UNIT} entityos-terminator || true`)).to.equal("active\ninactive\n");
      const said = await gate.sh(`systemd-analyze security --no-pager ${UNIT}.service | tail -1`);
      expect(Number(/service: ([\d.]+)/.exec(said)?.[1]), gate.name).to.be.at.most(2);
      expect(await gate.sh(`cat /proc/$(systemctl show -P MainPID ${UNIT})/status`))
        .to.match(/^CapEff:\t0{16}$/m)
        .and.not.match(/^Uid:\t0/m);
      await endsConnections(gate);
      // The agent's reload, by a signal to another unit's process: a resync makes a generation, which nginx then serves.
      const served = () => gate.sh(`cat /var/lib/entityos-agent/terminator/current/nginx.pid`).catch(() => "");
      const pid = `${(await gate.sh(`systemctl show -P MainPID ${UNIT}`)).trim()}\n`;
      const generation = await gate.sh("readlink /var/lib/entityos-agent/terminator/current");
      await gate.sh(
        `sed -i 's/maxBodyBytes: .*//; s/kind: nginx/kind: nginx\\n  maxBodyBytes: 1000/' ${CONFIG} && systemctl reload entityos-agent`,
      );
      await waitFor(
        "nginx to serve another generation",
        async () =>
          ((await gate.sh("readlink /var/lib/entityos-agent/terminator/current")) !== generation && (await served()) === pid) || undefined,
        LONG,
      );
      await answered(gate);
      await gate.sh(`systemctl reload ${UNIT}`);
      await gate.sh(`systemctl kill --signal=KILL ${UNIT}`);
      await answered(gate);
      // The file as it was: a host that differs from its settings is deployed anew.
      await gate.sh(`mv ${CONFIG}.kept ${CONFIG} && systemctl restart entityos-agent`);
      await reaches(gate, "enforcing");
      await answered(gate);
      expect(await gate.sh(`systemctl is-active ${UNIT} entityos-terminator || true`)).to.equal("inactive\nactive\n");
      expect(await gate.sh("systemctl --failed --no-legend")).to.equal("");
      expect(knocks.answers).to.deep.equal([]);
    }
  });
}
