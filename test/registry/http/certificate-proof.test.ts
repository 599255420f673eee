import { createPrivateKey, hash, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { signByCertificate } from "../../../lib/registration/certificate-proof.ts";
import { csrDigest, csrFromPem } from "../../../lib/registration/csr.ts";
import type { Submission } from "../../../lib/registration/submission.ts";
import type { KeyKind } from "../../../registry/ca/algorithms.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { all } from "../../../registry/store/store.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness, HOUR_MS, type TestCode, type TestDevice, unsigned } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

describe("a renewal signed by a certificate's own key", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let code: TestCode;
  before(async () => {
    harness = await Harness.open();
    harness.now = Date.UTC(2026, 10, 24);
    process = await harness.process(["127.0.0.0/8", "::1/128"], await testAuthorities(harness.now));
    register = await RegisterUnderTest.start(harness);
    code = await harness.code(
      { pattern: "either", certificateLifetimeMs: 6 * HOUR_MS },
      { uses: 99, expiresAt: harness.now + 90 * HOUR_MS },
    );
  });
  after(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  type Certified = TestDevice & { readonly key: string; readonly certificate: string };
  const certified = async (kind: KeyKind = "P-256"): Promise<Certified> => {
    const { key, csr } = await makeKeyAndCsr(null, kind);
    const made = await harness.device(code, {}, { csr: csrFromPem(csr) });
    const [row] = await harness.rows((db) => all(db.selectFrom("certificates").select("fingerprint").where("device", "=", made.id)));
    return { ...made, key, certificate: row?.fingerprint ?? "" };
  };
  /** @param with what another one might put in the place of what is right */
  const body = (of: Certified, change: Partial<Submission> = {}, other: Partial<Certified> = {}, more: object = {}) => {
    const submission = unsigned(of, harness.clock.now(), { action: "renew", signer: of.signer, ...change });
    const { nonce, time, addresses } = submission;
    const signature = signByCertificate(submission, createPrivateKey(other.key ?? of.key));
    const certificate = other.certificate ?? of.certificate;
    return { device: submission.signer.slice("device:".length), certificate, proof: { nonce, time, signature }, addresses, ...more };
  };
  const renew = (what: unknown) => register.send("POST", "/v1/renewals", { body: JSON.stringify(what) });
  const told = async (what: unknown) => {
    const answer = await renew(what);
    return `${answer.status} ${String((answer.body as { code?: string }).code ?? "")}`.trim();
  };

  for (const kind of ["P-256", "P-384", "Ed25519", "RSA"] as const) {
    it(`is taken from a ${kind} key: addresses anew, and the next certificate`, async () => {
      const one = await certified(kind);
      const { csr } = await makeKeyAndCsr(null);
      const answer = await renew(body(one, { csrDigest: csrDigest(csrFromPem(csr)) }, {}, { csr }));
      expect(answer.status).to.equal(201);
      const { device, addresses, certificate } = answer.body as { device: string; addresses: unknown[]; certificate: { pem: string } };
      expect([device, addresses.length]).to.deep.equal([one.id, 1]);
      const next = hash("sha256", new X509Certificate(certificate.pem).raw);
      const rows = await harness.rows((db) =>
        all(db.selectFrom("certificates").select(["fingerprint", "state"]).where("device", "=", one.id)),
      );
      expect(rows.map(({ fingerprint }) => fingerprint).sort()).to.deep.equal([one.certificate, next].sort());
      const [entry] = await harness.rows((db) =>
        all(db.selectFrom("audit").select("detail").where("action", "=", "device.renewed").orderBy("seq", "desc").limit(1)),
      );
      expect(JSON.parse(entry?.detail ?? "{}")).to.include({ device: one.id, by: one.certificate });
    });
  }

  it("is refused with proof_refused by another key, for another device, of a certificate that nobody has, and over anything else", async () => {
    const [one, other] = [await certified(), await certified()];
    const refused = "401 proof_refused";
    expect(await told(body(one, {}, { key: other.key }))).to.equal(refused);
    expect(await told(body(one, {}, { certificate: other.certificate }))).to.equal(refused);
    // The other one's own certificate and key, for this device.
    expect(await told(body(one, {}, other))).to.equal(refused);
    expect(await told(body(one, {}, { certificate: "0".repeat(64) }))).to.equal(refused);
    expect(await told({ ...body(one), addresses: ["127.0.0.1"] })).to.equal(refused);
    const { proof, ...rest } = body(one);
    expect(await told({ ...rest, proof: { ...proof, signature: "A".repeat(96) } })).to.equal(refused);
    expect(await told({ ...rest, proof: { ...proof, signature: "A".repeat(684) } })).to.equal("422 request_invalid");
    expect(await told({ ...rest, certificate: "short", proof })).to.equal("422 request_invalid");
    // The device's key signs for itself alone: a certificate is not named beside it.
    expect(await told({ ...rest, proof })).to.equal("201");
    expect(await told({ ...rest, proof })).to.equal("409 proof_replayed");
  });

  it("is refused with certificate_revoked, certificate_ended or device_revoked, each told after a right proof alone", async () => {
    const [one, old, gone, other] = [await certified(), await certified(), await certified(), await certified()];
    const now = harness.clock.now();
    const input = { fingerprint: one.certificate, reason: "keyCompromise", now, actor: "test" } as const;
    await harness.store.write((db) => revokeListed(db, harness.lead, input), ["head", "revocation"]);
    expect(await told(body(one))).to.equal("403 certificate_revoked");
    expect(await told(body(one, {}, { key: other.key }))).to.equal("401 proof_refused");
    await harness.store.write((db) => revokeDevice(db, harness.lead, { device: gone.id, now, actor: "test" }));
    expect(await told(body(gone))).to.equal("403 device_revoked");
    harness.now = now + 6 * HOUR_MS;
    expect(await told(body(old))).to.equal("403 certificate_ended");
  });

  it("is refused by control too when the open zone stored it: another key, another device's certificate, a re-enrolment's form", async () => {
    const [one, other] = [await certified(), await certified()];
    const store = async (signature: string, shown: string, change: Partial<Submission> = {}) => {
      const { status, body: said } = await harness.own(one, "renew", change, { signature, shown });
      return `${status} ${String(said.code ?? "")}`.trim();
    };
    const submission = unsigned(one, harness.clock.now(), { action: "renew", signer: one.signer });
    const right = { nonce: submission.nonce, time: submission.time };
    expect(await store(signByCertificate(submission, createPrivateKey(other.key)), one.certificate, right)).to.equal("401 proof_refused");
    expect(await store(signByCertificate(submission, createPrivateKey(other.key)), other.certificate, right)).to.equal("401 proof_refused");
    expect(await store("", one.certificate, right)).to.equal("401 proof_refused");
    expect(await store(signByCertificate(submission, createPrivateKey(one.key)), one.certificate, right)).to.equal("201");
  });
});
