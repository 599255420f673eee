import fc from "fast-check";
import { encodePem } from "../../../lib/pem.ts";
import { csrFromPem, MAX_CSR_BYTES } from "../../../lib/registration/csr.ts";
import { KEY_KINDS } from "../../../registry/ca/algorithms.ts";
import { parseCsr } from "../../../registry/ca/csr.ts";
import { fuzz, hostileText, mutated, valueOrRefusal } from "../target.ts";

export const name = "csr";

/** Sound requests, made elsewhere by openssl: P-256 with a name and an attribute, Ed25519 without. */
const SOUND = [
  "MIHmMIGNAgEAMAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASOFghWBzChzB4U4xB27mSq2hA6oUWSvi5Tw9ZcY4o7jZT96Ka/s5jfnT83jbjy7BwTzczTxKdmWWpKzgvzumCxoB8wHQYJKoZIhvcNAQkOMRAwDjAMBgNVHREEBTADggFhMAoGCCqGSM49BAMCA0gAMEUCIQCoeLk8eTZOL9zqMqCEL4PQKGv7y2K2RXy8ESjnO66DyQIgQPwQLjv5KE0EZ5xq9g25lmiUnIqBYPK2AhEzR4nzN8I=",
  "MH8wMwIBADAAMCowBQYDK2VwAyEAU27FFVYMvhkW1j+5H1KYLZk5e+rdeVimhafk+BAyEbWgADAFBgMrZXADQQD3W1XiK3YsLtqRDbGC1hN+xxqbnIzr80KnA72kCzJSfkVc8Vfzfq6MximU4BUgpcyMAOXSvDqOpUsxqt8qp8IJ",
].map((text) => Buffer.from(text, "base64"));

const tag = fc.constantFrom(0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x17, 0x30, 0x31, 0xa0, 0x80, 0x24, 0x3f, 0x00, 0xff);
/** Values inside values, with lengths that may lie. */
const nested: fc.Arbitrary<Buffer> = fc
  .array(fc.record({ tag, lie: fc.nat({ max: 3 }), fill: fc.uint8Array({ maxLength: 12 }) }), { maxLength: 40 })
  .map((layers) =>
    layers.reduce<Buffer>((inside, layer) => {
      const content = Buffer.concat([inside, layer.fill]);
      const length = content.length + (layer.lie === 1 ? 1 : layer.lie === 2 ? -1 : 0);
      const head = length < 0x80 && layer.lie !== 3 ? [Math.max(0, length)] : [0x82, (length >> 8) & 0xff, length & 0xff];
      return Buffer.concat([Buffer.of(layer.tag, ...head), content]);
    }, Buffer.alloc(0)),
  );
const bytes = fc.oneof(
  nested,
  fc.uint8Array({ maxLength: 300 }).map((all) => Buffer.from(all)),
  fc.tuple(fc.constantFrom(...SOUND), fc.nat({ max: 400 }), fc.nat({ max: 255 })).map(([sound, at, put]) => {
    const changed = Buffer.from(sound);
    changed[at % changed.length] = put;
    return changed;
  }),
  fc.nat({ max: 3 }).map((power) => Buffer.alloc(10 ** (power + 1), 0x30)),
  fc.constantFrom(Buffer.alloc(MAX_CSR_BYTES, 0x05), Buffer.alloc(MAX_CSR_BYTES + 1)),
);

/** A request that is read has a key of a known kind; its outside, once accepted, is exactly what is signed for. */
export function run(seed: number, count: number): void {
  fuzz(bytes, seed, count, (der) => {
    const request = valueOrRefusal(() => parseCsr(der));
    if (request !== null && !KEY_KINDS.includes(request.kind)) throw new Error(`a key of kind ${request.kind}`);
    const outside = valueOrRefusal(() => csrFromPem(encodePem("CERTIFICATE REQUEST", der)));
    if (outside !== null && !outside.equals(der)) throw new Error("other bytes than were sent");
    if (request !== null && outside === null) throw new Error("control takes what register refuses");
  });
  const alphabet = "-ABCDEFGHIJKLMNOPQRSTUVWXYZabcxyz019+/= \r\n";
  const sound = fc.constantFrom(...SOUND.map((der) => encodePem("CERTIFICATE REQUEST", der)));
  fuzz(fc.oneof(hostileText(alphabet, 400), mutated(sound, alphabet)), seed, count, (text) => {
    valueOrRefusal(() => csrFromPem(text));
  });
}
