import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parseAgentConfig } from "../../../agent/config.ts";
import { renderHaproxy, USUAL_LENGTHS } from "../../../agent/terminator/haproxy-config.ts";
import { layoutOf } from "../../../agent/terminator/layout.ts";
import { renderNginx } from "../../../agent/terminator/nginx-config.ts";
import { makeTerminatorScene } from "./scene.ts";

const MINIMAL = { name: "host-1", registry: { addresses: ["https://control.example:8444"], ca: "a", certificate: "b", key: "c" } };
const render = (more: object, revocations = true): string =>
  renderHaproxy(parseAgentConfig("agent.yaml", JSON.stringify({ ...MINIMAL, ...more })), {
    layout: layoutOf("/var/lib/entityos-agent/terminator/current", "haproxy"),
    lengths: USUAL_LENGTHS,
    revocations,
  });

describe("the rendered configuration of HAProxy", () => {
  it("is this, with all lanes and a probe", () => {
    const gate = { lanes: { ip: true, ipcert: true, roaming: true }, probe: { networks: ["198.51.100.0/24"] } };
    expect(render({ gate })).to.equal(readFileSync(join(import.meta.dirname, "all.cfg"), "utf8"));
  });

  it("listens for open lanes alone, and for a probe only where networks may ask", () => {
    const binds = [...render({}).matchAll(/^ {2}bind (\S+)/gm)].map(([, address]) => address);
    expect(binds).to.deep.equal(["0.0.0.0:8441", "[::]:8441", "unix@/run/entityos-terminator/inner.sock"]);
  });

  it("names no CRL while there is none", () => {
    expect(render({}, false)).not.to.include("crl-file");
  });

  it("is one that HAProxy takes without a warning", async () => {
    await using scene = await makeTerminatorScene();
    const file = join(scene.config.stateDir, "terminator", "current", "haproxy.cfg");
    const { status, stderr, stdout } = spawnSync("haproxy", ["-c", "-f", file]);
    expect(status).to.equal(0);
    expect(`${stdout}${stderr}`).not.to.match(/WARNING|ALERT/);
  });
});

const renderedNginx = (more: object, revocations = true): string =>
  renderNginx(
    parseAgentConfig("agent.yaml", JSON.stringify({ ...MINIMAL, ...more })),
    layoutOf("/var/lib/entityos-agent/terminator/current", "nginx"),
    revocations,
  );

describe("the rendered configuration of nginx", () => {
  it("is this, with all lanes and a probe", () => {
    const gate = { lanes: { ip: true, ipcert: true, roaming: true }, probe: { networks: ["198.51.100.0/24"] } };
    expect(renderedNginx({ gate })).to.equal(readFileSync(join(import.meta.dirname, "all.conf"), "utf8"));
  });

  it("listens for open lanes alone, and for a probe only where networks may ask", () => {
    const listens = [...renderedNginx({}).matchAll(/^ +listen (\S+)/gm)].map(([, address]) => address);
    expect(listens).to.deep.equal(["0.0.0.0:8441", "[::]:8441"]);
  });

  it("names no CRL while there is none", () => {
    expect(renderedNginx({}, false)).not.to.include("ssl_crl");
  });

  it("is one that nginx takes without a warning", async () => {
    await using scene = await makeTerminatorScene({ kind: "nginx" });
    const file = join(scene.config.stateDir, "terminator", "current", "nginx.conf");
    const { status, stderr, stdout } = spawnSync("nginx", ["-t", "-q", "-e", "stderr", "-c", file]);
    expect(status).to.equal(0);
    expect(`${stdout}${stderr}`).to.equal("");
  });
});
