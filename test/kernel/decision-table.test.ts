import { readFileSync } from "node:fs";
import { expect } from "chai";
import { type ClientCertificate, HOUR_MS, makeTestPki } from "../agent/terminator/pki.ts";
import { type Capture, startCapture } from "../lab/capture.ts";
import { endsOf } from "./answers.ts";
import { ADDRESSES, CERTIFICATES, type Cell, cellsOf, expected, nameOf, PATTERNS, SWITCHES, type Verdict } from "./decision.ts";
import type { Heard, Knock } from "./decision-actor.ts";
import { page } from "./decision-page.ts";
import { type DecisionScene, makeDecisionScene } from "./decision-scene.ts";
import { udp } from "./frames.ts";

const ALL_ON = { ip: true, ipcert: true, roaming: true };
/** How long nothing is listened to; and how long what must come may take. */
const SILENCE_MS = 1_000;
const PATIENCE_MS = 30_000;
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];
type Pattern = Cell["pattern"];

const DEVICES: Readonly<Record<Pattern | "other", string>> = {
  ip: "0198f2c1-7d1e-7000-8000-000000000001",
  cert: "0198f2c1-7d1e-7000-8000-000000000002",
  either: "0198f2c1-7d1e-7000-8000-000000000003",
  both: "0198f2c1-7d1e-7000-8000-000000000004",
  other: "0198f2c1-7d1e-7000-8000-000000000005",
};
const SOURCES = ["ip", "either", "both", "another's (lane ip)", "another's (lane ipcert)", "none"] as const;
const sourceOf = (which: (typeof SOURCES)[number], family: Family): string => {
  const number = 100 + SOURCES.indexOf(which);
  return family === 4 ? `203.0.113.${number}` : `2001:db8:0:${number}::1`;
};
const prefixOf = (which: (typeof SOURCES)[number], family: Family) => `${sourceOf(which, family)}/${family === 4 ? 32 : 128}`;

function addressOf({ address, pattern }: Cell, family: Family): string {
  if (address !== "own") return sourceOf(address, family);
  if (pattern === "cert") throw new Error("the pattern cert has no address");
  return sourceOf(pattern, family);
}

describe("the decision table", function () {
  this.timeout(180_000);
  let scene: DecisionScene;
  let capture: Capture;
  const shown = new Map<string, ClientCertificate>();

  before(async () => {
    scene = await makeDecisionScene(
      FAMILIES.flatMap((family) => SOURCES.map((which) => sourceOf(which, family))),
      ALL_ON,
    );
    for (const family of FAMILIES) {
      for (const which of ["ip", "either", "another's (lane ip)"] as const) scene.admit("ip", prefixOf(which, family));
      for (const [which, device] of [
        ["both", DEVICES.both],
        ["another's (lane ipcert)", DEVICES.other],
      ] as const) {
        scene.admit("ipcert", prefixOf(which, family));
        const body = JSON.stringify({ expiresAt: Date.now() + HOUR_MS });
        scene.desired.change({ kind: "trust.set", target: "binding", id: `${device} ${prefixOf(which, family)}`, body });
      }
    }
    await makeCertificates();
    await scene.apply();
    capture = await startCapture(scene.host.netns, "tcp port 443 or udp port 9");
  });
  after(async () => {
    await capture[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
  });

  function list({ fingerprint, serial, notAfter }: ClientCertificate, pattern: Pattern): void {
    const body = JSON.stringify({ device: DEVICES[pattern], pattern, subject: "ada", serial, issuer: "device-1a2b3c4d", notAfter });
    scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
  }
  const unlist = ({ fingerprint }: ClientCertificate) =>
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: fingerprint });

  /** One of each kind for each pattern. What is wrong with each is wrong alone: all but the unregistered and the withdrawn are listed. */
  async function makeCertificates(): Promise<void> {
    const { pki } = scene;
    const [foreign, retired] = [await makeTestPki(), await pki.anotherDeviceCa()];
    const now = Date.now();
    const make: Readonly<Record<Exclude<Cell["certificate"], "none">, (device: string) => Promise<ClientCertificate>>> = {
      valid: (device) => pki.issue(device),
      unregistered: (device) => pki.issue(device),
      expired: (device) => pki.issue(device, { now: now - 2 * HOUR_MS }),
      revoked: (device) => pki.issue(device),
      "other CA": (device) => foreign.issue(device),
      "not yet valid": (device) => pki.issue(device, { now: now + HOUR_MS }),
      "retired CA": (device) => pki.issue(device, { ca: retired }),
    };
    for (const pattern of PATTERNS) {
      for (const kind of CERTIFICATES) {
        if (kind === "none") continue;
        const certificate = await make[kind](DEVICES[pattern]);
        shown.set(`${pattern} ${kind}`, certificate);
        if (!["unregistered", "retired CA"].includes(kind)) list(certificate, pattern);
      }
    }
    await scene.apply();
    for (const pattern of PATTERNS) unlist(shown.get(`${pattern} revoked`) as ClientCertificate);
  }

  const knockOf = (cell: Cell, family: Family, more: Partial<Knock> = {}): Knock => {
    const certificate = shown.get(`${cell.pattern} ${cell.certificate}`);
    return {
      host: family === 4 ? scene.host.v4 : scene.host.v6,
      localAddress: addressOf(cell, family),
      ca: scene.pki.root,
      client: certificate === undefined ? null : { cert: certificate.cert, key: certificate.key },
      session: null,
      ...waits(expected(cell) as Verdict),
      ...more,
    };
  };

  /** What was heard, in the table's words. */
  function verdictOf({ pattern }: Cell, { outcome, headers }: Heard): string {
    if (outcome === "nothing") return "no packet";
    if (outcome === "tls") return "first flight";
    if (outcome === "ended") return "ended";
    const device = headers["x-entityos-device"];
    if (device === undefined) return "in";
    return device === DEVICES[pattern] && headers["x-entityos-pattern"] === pattern ? "in, known" : `in, as ${device}`;
  }

  const packetsTo = (address: string, after: number) => capture.packets.slice(after).filter(({ to }) => to === address);

  /** All that was sent until now is captured when it resolves. */
  async function settle(after: number): Promise<void> {
    const [device = scene.host] = scene.devices;
    await device.send([udp(endsOf(device, scene.host, 4), 9)]);
    await capture.until("the last datagram", ({ toPort }) => toPort === 9, after);
  }

  for (const lanes of SWITCHES) {
    const on = (["ip", "ipcert", "roaming"] as const).filter((lane) => lanes[lane]).join(", ") || "none";
    it(`holds for every new connection with the lanes on: ${on}`, async () => {
      await scene.configure(lanes);
      const from = capture.packets.length;
      const cells = cellsOf(lanes).filter((cell) => cell.connection === "new" && typeof expected(cell) === "string");
      const asked = FAMILIES.flatMap((family) => cells.map((cell) => ({ cell, family })));
      const heard = await Promise.all(
        asked.map(async ({ cell, family }) => ({ cell, family, heard: await scene.hands.ask("ask", knockOf(cell, family)) })),
      );
      await settle(from);
      const wrong = heard.filter(({ cell, heard: one }) => verdictOf(cell, one) !== expected(cell));
      expect(wrong.map(({ cell, family, heard: one }) => `${nameOf(cell)}, IPv${family}: ${verdictOf(cell, one)}`)).to.deep.equal([]);
      for (const { cell, family, heard: one } of heard) {
        const back = packetsTo(addressOf(cell, family), from);
        const own = back.filter(({ toPort }) => toPort === one.localPort).map(({ text }) => text);
        if (expected(cell) === "no packet")
          expect(
            back.map(({ text }) => text),
            nameOf(cell),
          ).to.deep.equal([]);
        if (expected(cell) === "first flight") {
          expect(
            own.filter((text) => /length [1-9]/.test(text)).length,
            `${nameOf(cell)} ${one.localPort}: ${own.join("; ")}`,
          ).to.be.greaterThan(0);
          expect(
            own.filter((text) => /^Flags \[[^\]]*[FR]/.test(text)),
            nameOf(cell),
          ).to.deep.equal([]);
        }
      }
    });
  }

  it("holds for connections that were open before, and for sessions that are offered again", async () => {
    await scene.configure(ALL_ON);
    const kinds = ["valid", "expired", "revoked"] as const;
    const cells = cellsOf(ALL_ON).filter((cell) => cell.connection !== "new" && typeof expected(cell) === "string");
    expect(new Set(cells.map(({ certificate }) => certificate))).to.deep.equal(new Set(kinds));
    // Valid ones until the moment that is asked about: by then the registry has taken the expired and the revoked off the list.
    for (const pattern of ["cert", "either", "both"] as const) {
      for (const kind of kinds) {
        const certificate = await scene.pki.issue(DEVICES[pattern]);
        shown.set(`${pattern} ${kind}`, certificate);
        list(certificate, pattern);
      }
    }
    await scene.apply();
    const asked = FAMILIES.flatMap((family) => cells.map((cell) => ({ cell, family })));
    const before = await Promise.all(
      asked.map(async ({ cell, family }) => {
        const knock = knockOf(cell, family, { connectMs: PATIENCE_MS, answerMs: PATIENCE_MS, tls12: cell.connection === "resumed" });
        return { cell, family, first: await scene.hands.ask("open", knock) };
      }),
    );
    expect(before.filter(({ cell, first }) => verdictOf(cell, first) !== "in, known").map(({ cell }) => nameOf(cell))).to.deep.equal([]);
    for (const pattern of ["cert", "either", "both"] as const)
      for (const kind of ["expired", "revoked"] as const) unlist(shown.get(`${pattern} ${kind}`) as ClientCertificate);
    await scene.apply();
    const from = capture.packets.length;
    const changedAt = Date.now() + 1;
    const heard = await Promise.all(
      before.map(async ({ cell, family, first }) => {
        const answerMs = waits(expected(cell) as Verdict).answerMs;
        const again = cell.connection === "open";
        const later = again
          ? await scene.hands.ask("again", { id: first.id, answerMs })
          : await scene.hands.ask("ask", knockOf(cell, family, { session: first.session, tls12: true }));
        return { cell, family, first, later };
      }),
    );
    await settle(from);
    expect(heard.filter(({ later }) => later.resumed).map(({ cell }) => nameOf(cell))).to.deep.equal([]);
    for (const { cell, family, first, later } of heard) {
      const said = verdictOf(cell, later);
      if (expected(cell) !== "cut") expect(said, nameOf(cell)).to.equal(expected(cell));
      else {
        expect(said, nameOf(cell)).to.equal("first flight");
        const more = packetsTo(addressOf(cell, family), 0).filter(({ toPort, at }) => toPort === first.localPort && at > changedAt);
        expect(
          more.map(({ text }) => text),
          nameOf(cell),
        ).to.deep.equal([]);
      }
    }
  });

  it("is the one in docs/decision-table.md", () => {
    expect(ADDRESSES.length * PATTERNS.length * CERTIFICATES.length * 3 * SWITCHES.length).to.equal(3_072);
    expect(readFileSync(new URL("../../docs/decision-table.md", import.meta.url), "utf8")).to.equal(page());
  });
});

const waits = (verdict: Verdict): { readonly connectMs: number; readonly answerMs: number } => ({
  connectMs: verdict === "no packet" ? SILENCE_MS : PATIENCE_MS,
  answerMs: verdict === "in" || verdict === "in, known" ? PATIENCE_MS : SILENCE_MS,
});
