import { expect } from "chai";
import { systemClock } from "../../../../lib/clock.ts";
import { AwsApi, type AwsParts, awsParts, MAX_ATTEMPTS } from "../../../../registry/ca/aws/api.ts";
import { AwsError } from "../../../../registry/ca/aws/error.ts";
import { AwsDouble, type Fault, REGION } from "../../../aws/double.ts";
import { FakeKms } from "../../../aws/kms.ts";

describe("requests to AWS", () => {
  const service = new FakeKms();
  const { arn } = service.create();
  let double: AwsDouble;
  let parts: AwsParts;
  beforeEach(async () => {
    double = await AwsDouble.start(service);
    parts = awsParts(double.environment, systemClock);
  });
  afterEach(() => double[Symbol.asyncDispose]());

  const api = (change: Partial<AwsParts> = {}) =>
    new AwsApi({ name: "kms", region: REGION, endpoint: new URL(double.endpoint) }, { ...parts, ...change });
  const ask = (change: Partial<AwsParts> = {}) => api(change).call("TrentService.GetPublicKey", { KeyId: arn });
  const failure = async (change: Partial<AwsParts> = {}): Promise<AwsError> => {
    const error = await ask(change).catch((reason: unknown) => reason);
    if (!(error instanceof AwsError)) throw new Error("no AwsError", { cause: error });
    return error;
  };
  const answer = (status: number, type: string): Fault => ({ kind: "answer", status, type });

  it("are signed so that AWS's own rules accept them, with a session token or without", async () => {
    expect((await ask()).KeyId).to.equal(arn);
    const session = { accessKeyId: "ASIA", secretAccessKey: "other", sessionToken: "a/token+with=signs" };
    double.known.push(session);
    const environment = { AWS_ACCESS_KEY_ID: "ASIA", AWS_SECRET_ACCESS_KEY: "other", AWS_SESSION_TOKEN: session.sessionToken };
    expect((await ask(awsParts(environment, systemClock))).KeyId).to.equal(arn);
  });

  it("with a wrong key, an unknown one, or a clock that is far off, are refused by name, and no secret is told", async () => {
    const codes: string[] = [];
    for (const [id, secret, skewMs] of [
      ["AKIDEXAMPLE", "wrong-secret", 0],
      ["AKIDOTHER", "wrong-secret", 0],
      ["AKIDEXAMPLE", "wrong-secret", 3_600_000],
    ] as const) {
      const clock = { ...systemClock, now: () => Date.now() + skewMs };
      const error = await failure(awsParts({ AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret }, clock));
      codes.push(error.code);
      expect(`${error.message}${JSON.stringify(error)}${error.stack}`).not.to.match(/wrong-secret|AKID/);
    }
    expect(codes).to.deep.equal(["InvalidSignatureException", "UnrecognizedClientException", "InvalidSignatureException"]);
  });

  it("are tried again, so often and no more, when they were throttled, cut off, or met a fault of AWS's", async () => {
    double.faults.push(answer(400, "ThrottlingException"), { kind: "cut" }, answer(500, "KMSInternalException"));
    expect((await ask()).KeyId).to.equal(arn);
    expect(double.seen.length).to.equal(MAX_ATTEMPTS);
    for (const fault of [answer(400, "ThrottlingException"), answer(503, ""), { kind: "cut" }, { kind: "silent" }] as const) {
      double.standing = fault;
      double.seen.length = 0;
      const { code } = await failure({ attemptMs: fault.kind === "silent" ? 400 : 4_000 });
      expect([fault.kind, code, double.seen.length]).to.deep.equal([
        fault.kind,
        CODE[`${fault.kind}${"type" in fault ? fault.type : ""}`],
        4,
      ]);
    }
  });
  const CODE: Readonly<Record<string, string>> = {
    answerThrottlingException: "ThrottlingException",
    answer: "Unknown",
    cut: "Network",
    silent: "Timeout",
  };

  it("are not tried again when an operator has to mend something, or the answer is no answer", async () => {
    for (const fault of [
      answer(400, "AccessDeniedException"),
      answer(400, "DisabledException"),
      { kind: "garbage" },
      { kind: "flood" },
    ] as const) {
      double.standing = fault;
      double.seen.length = 0;
      const { code } = await failure();
      expect([code, double.seen.length]).to.deep.equal([fault.kind === "answer" ? fault.type : "Answer", 1]);
    }
  });

  it("come once more with other credentials when those they came with had ended", async () => {
    const [first, second] = [
      { accessKeyId: "ASIA1", secretAccessKey: "a", sessionToken: undefined, endsAt: Infinity },
      { accessKeyId: "ASIA2", secretAccessKey: "b", sessionToken: undefined, endsAt: Infinity },
    ];
    double.known.push({ accessKeyId: "ASIA2", secretAccessKey: "b", sessionToken: null });
    const refused: unknown[] = [];
    const current = async () => (refused.length === 0 ? first : second);
    expect((await ask({ credentials: { current, refused: (credentials) => refused.push(credentials) } })).KeyId).to.equal(arn);
    expect(refused).to.deep.equal([first]);
  });

  it("wait for their turn: sixty-four are under way at a time", async () => {
    let [underWay, most] = [0, 0];
    const { promise: full, resolve: isFull } = Promise.withResolvers<void>();
    double.arrived = async () => {
      most = Math.max(most, ++underWay);
      if (underWay === 64) isFull();
      await full;
      // Each is here for a turn of the loop more: who came too early would be counted.
      await new Promise((resolve) => setImmediate(resolve));
      underWay--;
    };
    const one = api();
    await Promise.all(Array.from({ length: 200 }, () => one.call("TrentService.GetPublicKey", { KeyId: arn })));
    expect([most, double.done.length]).to.deep.equal([64, 200]);
  });

  it("end with the registry", async () => {
    double.standing = { kind: "silent" };
    const stopping = new AbortController();
    double.arrived = async () => stopping.abort(new Error("the registry stops"));
    const { code } = await failure({ signal: stopping.signal });
    expect([code, double.seen.length]).to.deep.equal(["Network", 1]);
  });
});
