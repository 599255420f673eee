import { parseAddress } from "../../lib/ip.ts";

/**
 * The binary header of the PROXY protocol, version 2 (haproxy.org, doc/proxy-protocol.txt §2.2): signature, version and command,
 * family and transport, length; then addresses and TLVs. The signature holds what no TLS record begins with.
 */
const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
/** Bytes before the addresses. */
export const HEAD_BYTES = 16;
/** Most bytes behind the head that are taken: both addresses are 36, the rest are TLVs, which are passed over. */
export const MAX_REST_BYTES = 2_048;

const COMMAND = { local: 0x20, proxy: 0x21 } as const;
const TCP4 = { family: 0x11, bytes: 12 } as const;
const TCP6 = { family: 0x21, bytes: 36 } as const;

/** The connection's beginning is not what a configured load balancer sends. */
export class ProxyHeaderError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProxyHeaderError";
  }
}

export interface ProxyHead {
  /** LOCAL: the load balancer speaks for itself, as health checks do. */
  readonly local: boolean;
  readonly family: number;
  /** Bytes that follow the head. */
  readonly length: number;
}

/** Reads the first {@link HEAD_BYTES}. @throws ProxyHeaderError for all that is not version 2, or longer than its bound */
export function parseProxyHead(head: Buffer): ProxyHead {
  if (head.length < HEAD_BYTES || !head.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw new ProxyHeaderError("no PROXY protocol version 2 header");
  const [command, family, length] = [head.readUInt8(12), head.readUInt8(13), head.readUInt16BE(14)];
  if (command !== COMMAND.local && command !== COMMAND.proxy) throw new ProxyHeaderError(`version and command 0x${command.toString(16)}`);
  if (length > MAX_REST_BYTES) throw new ProxyHeaderError(`${length} bytes of addresses and TLVs: ${MAX_REST_BYTES} is the most`);
  return { local: command === COMMAND.local, family, length };
}

/**
 * The client's canonical address; null when the load balancer speaks for itself.
 * @param rest the bytes behind the head, all of them
 * @throws ProxyHeaderError for a family other than TCP over IPv4 or IPv6, or fewer bytes than its addresses have
 */
export function clientAddress({ local, family }: ProxyHead, rest: Buffer): string | null {
  if (local) return null;
  if (family === TCP4.family && rest.length >= TCP4.bytes) return parseAddress([...rest.subarray(0, 4)].join(".")).address;
  if (family === TCP6.family && rest.length >= TCP6.bytes) {
    const groups = Array.from({ length: 8 }, (_, index) => rest.readUInt16BE(index * 2).toString(16));
    return parseAddress(groups.join(":")).address;
  }
  throw new ProxyHeaderError(`family and transport 0x${family.toString(16)} with ${rest.length} bytes`);
}
