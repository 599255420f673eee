import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { submissionDigest } from "../../../lib/registration/submission.ts";
import { seal } from "../../../lib/seal.ts";
import { all } from "../../../registry/store/store.ts";
import { MemoryLog } from "../admin/control.ts";
import { Harness, SEALING, type TestCode, unsigned } from "../process/harness.ts";
import { withCheck } from "./check-character.ts";
import { type Answer, RegisterUnderTest } from "./client.ts";

const KEY = "0123456789abcdefghijkl";

describe("the security code itself", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let log: MemoryLog;
  beforeEach(async () => {
    log = new MemoryLog();
    harness = await Harness.open();
    process = await harness.process(["127.0.0.0/8"], undefined, log);
    register = await RegisterUnderTest.start(harness, {}, log);
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const allowed = (uses = 9) => harness.code({ plainCode: true }, { uses });
  const forbidden = () => harness.code({ plainCode: false }, { uses: 9, profile: "signed" });
  const send = (code: string, more: object = {}, headers: Record<string, string> = {}) =>
    register.post({ code, addresses: ["observed"], ...more }, headers);
  const told = ({ status, body }: Answer): string => `${status} ${String(body.code ?? "")}`.trim();
  const audited = async () =>
    (await harness.rows((db) => all(db.selectFrom("audit").select("detail").where("action", "=", "device.enrolled")))).map(
      (row) => (JSON.parse(row.detail) as { plainCode?: boolean }).plainCode ?? false,
    );

  it("registers a device where its profile allows that, however it is typed, and the audit log says so", async () => {
    const code = await allowed();
    const answers = [
      await send(code.text),
      await send(code.text.toLowerCase().replaceAll("-", " ")),
      await register.post(register.body(code)),
    ];
    expect(answers.map(told)).to.deep.equal(["201", "201", "201"]);
    expect(answers[0]?.body.addresses).to.have.nested.property("[0].prefix", "127.0.0.1/32");
    expect([await harness.used(code), await audited()]).to.deep.equal([3, [true, true, false]]);
  });

  it("is refused by a profile that does not, after a right code alone, and spends nothing", async () => {
    const code = await forbidden();
    const wrong = `${code.selector}${generateCode().text.replaceAll("-", "").slice(8)}`;
    const answer = await send(code.text);
    expect([told(answer), told(await send(code.text)), await harness.used(code)]).to.deep.equal([
      "403 plain_code_refused",
      "403 plain_code_refused",
      0,
    ]);
    expect(answer.body.detail).to.match(/sign with it, as 'entityos enroll' does/);
    expect(told(await send(withCheck(wrong)))).to.equal("401 proof_refused");
  });

  it("gets one answer for an unknown selector, a wrong secret and a profile that forbids it", async () => {
    const [open, closed] = [await allowed(), await forbidden()];
    const secret = generateCode().text.replaceAll("-", "").slice(8);
    const answers = [
      await send(generateCode().text),
      await send(withCheck(open.selector + secret)),
      await send(withCheck(closed.selector + secret)),
    ];
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).to.equal(1);
    expect(answers.map(told)).to.include("401 proof_refused");
  });

  it("is refused when it was mistyped, before anything is looked up", async () => {
    const { text } = await allowed();
    const mistyped = text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
    expect([told(await send(mistyped)), told(await send("AAAAA-AAAAA"))]).to.deep.equal(["422 code_check", "422 code_format"]);
    expect(await harness.rows((db) => all(db.selectFrom("attempts").selectAll()))).to.deep.equal([]);
  });

  it("is spent once by repeats under one Idempotency-Key, which are told the same", async () => {
    const code = await allowed();
    const headers = { "idempotency-key": KEY };
    const [first, again] = [await send(code.text, {}, headers), await send(code.text, {}, headers)];
    expect([again.status, again.text, await harness.used(code)]).to.deep.equal([first.status, first.text, 1]);
    expect(told(await send(code.text, { addresses: ["127.0.0.1"] }, headers))).to.equal("422 idempotency_key_reused");
  });

  for (const [what, change] of [
    ["both itself and a proof", { selector: "ABCDEFGH" }],
    ["more than a code's text", { code: "A".repeat(201) }],
    ["something that is no text", { code: 5 }],
  ] as const) {
    it(`is refused when a request carries ${what}`, async () => {
      expect(told(await send((await allowed()).text, change))).to.equal("422 request_invalid");
    });
  }

  it("is in no log line, no answer, and no file of Storage, however the request ends", async () => {
    const [code, closed] = [await allowed(), await forbidden()];
    const unknown = generateCode();
    const texts = [code, closed, unknown].map(({ text }) => text);
    const answers = [
      ...(await Promise.all(texts.map((text) => send(text)))),
      await send(code.text, { addresses: ["10.0.0.1"] }),
      await send(code.text, { addresses: ["nonsense"] }),
      await send(code.text.slice(0, -1)),
      await register.post({ [code.text]: 1, code: code.text }),
      await register.post({ selector: code.text, addresses: [code.text], proof: code.text }),
      await register.send("POST", "/v1/registrations", { body: `{"code":"${code.text}"` }),
    ];
    await process[Symbol.asyncDispose]();
    answers.push(await send(code.text));
    expect(answers.map(told).slice(0, 3)).to.deep.equal(["201", "403 plain_code_refused", "401 proof_refused"]);
    expect(told(answers.at(-1) as Answer)).to.equal("202");
    const files = readdirSync(harness.folder).map((name) => readFileSync(join(harness.folder, name), "latin1"));
    const written = [...log.lines, ...answers.map((answer) => answer.text + JSON.stringify(answer.headers)), ...files].join("\n");
    expect(files.length).to.be.greaterThan(1);
    expect(log.lines.length).to.be.greaterThan(3);
    for (const text of texts) {
      const plain = text.replaceAll("-", "");
      for (const form of [text, plain, plain.slice(8, -1), plain.slice(8, 24), plain.slice(-16)]) {
        const forms = [form, form.toLowerCase(), Buffer.from(form).toString("base64url").slice(0, -2), Buffer.from(form).toString("hex")];
        expect(forms.filter((one) => written.includes(one))).to.deep.equal([]);
      }
    }
    expect(written).to.include(code.selector);
  });

  it("waits sealed, and is gone once its submission is concluded", async () => {
    await process[Symbol.asyncDispose]();
    const code = await allowed();
    await send(code.text);
    const waiting = () => harness.rows((db) => all(db.selectFrom("inbox").select("sealed")));
    expect((await waiting())[0]?.sealed).to.match(/^AQ?[A-Za-z0-9_-]{100,}$/);
    process = await harness.process(["127.0.0.0/8"]);
    const [row] = await harness.rows((db) => all(db.selectFrom("submissions").select(["id", "signature"])));
    expect([(await harness.outcome(String(row?.id))).status, row?.signature, await waiting()]).to.deep.equal([201, "", []]);
  });

  describe("that a burnt register stored", () => {
    /** What control makes of a sealed code that goes with a submission. */
    async function decided(code: TestCode, sealed: (digest: string) => string, action: "register" | "renew" = "register"): Promise<string> {
      const submission = unsigned(code, harness.clock.now(), { action });
      const { body, status } = await harness.register(code, submission, { signature: "", sealed: sealed(submissionDigest(submission)) });
      return `${status} ${String(body.code ?? "")}`.trim();
    }
    const sealedTo = (text: string, digest: string) => seal(Buffer.from(text), SEALING.publicKey, digest);

    it("counts when it is the code's and sealed for this submission", async () => {
      const code = await allowed();
      expect(await decided(code, (digest) => sealedTo(code.text, digest))).to.equal("201");
    });

    it("does not when it was sealed for another one, is another code, no code, or no box", async () => {
      const [code, other] = [await allowed(), await allowed()];
      const verdicts = [
        await decided(code, () => sealedTo(code.text, "0".repeat(64))),
        await decided(code, (digest) => sealedTo(other.text, digest)),
        await decided(code, (digest) => sealedTo("no code", digest)),
        await decided(code, () => "AQ"),
        await decided(code, () => ""),
      ];
      expect(verdicts).to.deep.equal(Array(5).fill("401 proof_refused"));
      expect([await harness.used(code), await harness.used(other)]).to.deep.equal([0, 0]);
    });

    it("does nothing for a profile that forbids it, and registers alone", async () => {
      const [closed, open] = [await forbidden(), await allowed()];
      expect(await decided(closed, (digest) => sealedTo(closed.text, digest))).to.equal("403 plain_code_refused");
      expect(await decided(open, (digest) => sealedTo(open.text, digest), "renew")).to.equal("422 action_not_offered");
    });
  });
});
