import { expect } from "chai";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { all } from "../../../registry/store/store.ts";
import { estScene, LIFE_MS } from "./est-scene.ts";

describe("EST simplereenroll", () => {
  const scene = estScene();
  const { code, post, told, request, certificate, urnOf, enrolled, as, fingerprint, state, devices, naming } = scene;

  it("gives a device that shows its certificate the next one, for a new key, and leaves the rest of it alone", async () => {
    const urn = await enrolled("device");
    const before = await devices();
    const answer = await post("simplereenroll", request("next", ...naming(urn)), ...as("device"));
    expect([told(answer), answer.headers["content-type"]]).to.deep.equal(["200", "application/pkcs7-mime; smime-type=certs-only"]);
    const next = certificate(answer, "next");
    expect([urnOf(next), await devices()]).to.deep.equal([urn, before]);
    expect(next.validToDate.getTime() - next.validFromDate.getTime()).to.equal(LIFE_MS + 60_000);
    const [above] = await scene.harness.rows((db) => all(db.selectFrom("trust").select("body").where("id", "like", "device-%")));
    scene.folder.write("chain.pem", above?.body ?? "");
    scene.folder.run(
      "verify",
      "-x509_strict",
      "-purpose",
      "sslclient",
      "-CAfile",
      "root.pem",
      "-untrusted",
      "chain.pem",
      "-partial_chain",
      "device.pem",
    );
    expect([await state("device"), await state("next")]).to.deep.equal(["live", "live"]);
    const [row] = await scene.harness.rows((db) =>
      all(db.selectFrom("audit").select(["actor", "detail"]).where("action", "=", "device.reenrolled")),
    );
    expect([row?.actor, JSON.parse(row?.detail ?? "{}").shown]).to.deep.equal([
      `device:${urn.slice("urn:entityos:device:".length)}`,
      fingerprint("device"),
    ]);
    expect((await post("simplereenroll", "next.b64", ...as("device"))).body.equals(answer.body)).to.equal(true);
    expect(told(await post("simplereenroll", request("after", ...naming(urn)), ...as("next")))).to.equal("200");
  });

  it("takes a request for the same key too", async () => {
    const urn = await enrolled("kept");
    scene.folder.run("req", "-new", "-key", "kept.key", ...naming(urn), "-outform", "DER", "-out", "same.der");
    scene.folder.run("base64", "-in", "same.der", "-out", "same.b64");
    expect(told(await post("simplereenroll", "same.b64", ...as("kept")))).to.equal("200");
  });

  it("wants subject and names as the certificate has them", async () => {
    const urn = await enrolled("named");
    const other = urn.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    for (const [what, args] of [
      ["no names", ["-subj", `/CN=${urn}`]],
      ["no subject", ["-subj", "/", "-addext", `subjectAltName=URI:${urn}`]],
      ["another subject", ["-subj", `/CN=${other}`, "-addext", `subjectAltName=URI:${urn}`]],
      ["another name", ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${other}`]],
      ["one name more", ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${urn},DNS:app.example`]],
      ["more subject", ["-subj", `/O=x/CN=${urn}`, "-addext", `subjectAltName=URI:${urn}`]],
    ] as const) {
      expect(told(await post("simplereenroll", request("names", ...args), ...as("named"))), what).to.equal("422 csr_subject");
    }
  });

  it("takes no certificate of others: none, a stranger's, a revoked one, with one answer for all", async () => {
    const urn = await enrolled("gone");
    const right = request("of-gone", ...naming(urn));
    scene.folder.run(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-noenc",
      "-keyout",
      "stranger.key",
      "-out",
      "stranger.pem",
      ...naming(urn),
    );
    await scene.harness.store.write((db) =>
      revokeDevice(db, scene.harness.lead, {
        device: urn.slice("urn:entityos:device:".length),
        now: scene.harness.clock.now(),
        actor: "test",
      }),
    );
    const answers = [
      await post("simplereenroll", right),
      await post("simplereenroll", right, "-u", `x:${(await code()).text}`),
      await post("simplereenroll", right, ...as("stranger")),
      await post("simplereenroll", right, ...as("gone")),
    ];
    expect(answers.map(told)).to.deep.equal(Array(4).fill("403 client_certificate"));
    expect(new Set(answers.map(({ body }) => body.toString())).size).to.equal(1);
  });

  it("is refused by a profile that wants a proof", async () => {
    const urn = await enrolled("strict", { reenroll: false });
    expect(told(await post("simplereenroll", request("strict-next", ...naming(urn)), ...as("strict")))).to.equal("403 reenroll_refused");
    expect(await state("strict")).to.equal("live");
  });
});
