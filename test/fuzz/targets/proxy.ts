import fc from "fast-check";
import { clientAddress, HEAD_BYTES, ProxyHeaderError, parseProxyHead } from "../../../registry/http/proxy-header.ts";
import { fuzz } from "../target.ts";

export const name = "proxy";

const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const anything = fc.uint8Array({ maxLength: 120 });
const command = fc.constantFrom(0x20, 0x21, 0x22, 0x11, 0x31);
const family = fc.constantFrom(0x00, 0x11, 0x12, 0x21, 0x22, 0x31);
const shaped = fc
  .tuple(command, family, fc.nat({ max: 0xffff }), anything)
  .map(([second, third, length, rest]) => Buffer.concat([SIGNATURE, Buffer.from([second, third, length >> 8, length & 0xff]), rest]));

/** A header of a load balancer is an address, no address, or a refusal, whatever the bytes. */
export function run(seed: number, count: number): void {
  fuzz(fc.oneof(anything, shaped), seed, count, (input) => {
    const bytes = Buffer.from(input);
    try {
      const head = parseProxyHead(bytes.subarray(0, HEAD_BYTES));
      const client = clientAddress(head, bytes.subarray(HEAD_BYTES, HEAD_BYTES + head.length));
      if (client !== null && !/^[\da-f.:]+$/.test(client)) throw new Error(`'${client}' is no address`);
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error;
    }
  });
}
