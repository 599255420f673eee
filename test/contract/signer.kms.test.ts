import { systemClock } from "../../lib/clock.ts";
import { awsParts } from "../../registry/ca/aws/api.ts";
import { Kms } from "../../registry/ca/aws/kms.ts";
import { AwsDouble } from "../aws/double.ts";
import { FakeKms } from "../aws/kms.ts";
import { signerContract } from "./signer.contract.ts";

for (const spec of ["ECC_NIST_P256", "ECC_NIST_P384"] as const) {
  const service = new FakeKms();
  const key = service.create(spec);
  let double: AwsDouble | null = null;
  after(() => double?.[Symbol.asyncDispose]());
  signerContract(`a key of AWS KMS (${spec})`, async () => {
    double ??= await AwsDouble.start(service);
    const kms = new Kms(awsParts(double.environment, systemClock), double.endpoint);
    return kms.signer(key.arn, await kms.publicKey(key.arn));
  });
}
