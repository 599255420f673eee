import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { lives, runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";

const RUNNING = new URL("../../../agent/terminator/running.ts", import.meta.url).href;

describe("a terminator's process", () => {
  it("runs under its own name, and no longer once it is dead, whether anybody has waited for it or not", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-running-"));
    copyFileSync("/bin/sleep", join(folder, "haproxy"));
    // The shell makes room for one that never waits for its children.
    const script = `${join(folder, "haproxy")} 60 & echo $!; exec sleep 60`;
    const parent = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [said] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(said.toString());
      await waitFor("it to run", () => runsAs(pid, "haproxy") || undefined);
      expect(runsAs(pid, "nginx")).to.equal(false);
      process.kill(pid, "SIGKILL");
      await waitFor("its death", () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8")) || undefined);
      expect(runsAs(pid, "haproxy")).to.equal(false);
    } finally {
      // The dead one goes with its parent.
      parent.kill("SIGKILL");
      await once(parent, "close");
      rmSync(folder, { recursive: true });
    }
  });

  it("is known to live where it is hidden in /proc, as it is on hosts, and by no other's process id", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-running-"));
    copyFileSync("/bin/sleep", join(folder, "haproxy"));
    chmodSync(folder, 0o755);
    const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    // A user namespace of root's making, with the users that it has, as PrivateUsers=yes makes it.
    const script = `read -r _; exec ${nobody} ${join(folder, "haproxy")} 60`;
    const hidden = spawn("unshare", ["--user", "sh", "-ec", script], { stdio: ["pipe", "ignore", "inherit"] });
    const pid = hidden.pid ?? 0;
    const namespaceOf = (id: number | "self") => readlinkSync(`/proc/${id}/ns/user`);
    await waitFor("its user namespace", () => namespaceOf(pid) !== namespaceOf("self") || undefined);
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${map}`, "0 0 1\n65534 65534 1\n");
    hidden.stdin.end("\n");
    // What the agent's unit has (ProtectProc=invisible), seen by the user that both have.
    const look = (ofPid: number): unknown => {
      const mount = "mount -t proc -o hidepid=invisible proc /proc";
      const code = `import { lives, runsAs } from "${RUNNING}"; console.log(JSON.stringify([runsAs(${ofPid}, "haproxy"), lives(${ofPid}, "haproxy")]))`;
      // It may read this checkout, wherever that is.
      const mayRead = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search";
      const asNobody = `${nobody} ${mayRead} ${process.execPath} --input-type=module --eval "$0"`;
      return JSON.parse(execFileSync("unshare", ["--mount", "sh", "-ec", `${mount}; exec ${asNobody}`, code], { encoding: "utf8" }));
    };
    try {
      await waitFor("it to run", () => runsAs(pid, "haproxy") || undefined);
      expect(look(pid)).to.deep.equal([null, true]);
      // Of root, and as hidden.
      expect(look(process.pid)).to.deep.equal([null, false]);
      expect(lives(process.pid, "haproxy")).to.equal(false);
    } finally {
      hidden.kill("SIGKILL");
      await once(hidden, "close");
      rmSync(folder, { recursive: true });
    }
    expect(lives(pid, "haproxy")).to.equal(false);
  });
});
