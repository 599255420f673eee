/** The one module of node-forge in use, without the rest of the library behind it (80 ms of loading). */
declare module "node-forge/lib/asn1.js" {
  namespace asn1 {
    /** A node of the tree; `value` is a binary string (a character a byte) when primitive, else the inner nodes. */
    interface Asn1 {
      readonly tagClass: number;
      readonly type: number;
      readonly constructed: boolean;
      readonly value: string | Asn1[];
    }
    interface ByteBuffer {
      getBytes(): string;
    }
    interface DecodeOptions {
      readonly strict: boolean;
      readonly parseAllBytes: boolean;
      readonly decodeBitStrings: boolean;
      readonly maxDepth: number;
    }
    function create(tagClass: number, type: number, constructed: boolean, value: string | Asn1[]): Asn1;
    function fromDer(bytes: string, options: DecodeOptions): Asn1;
    function toDer(node: Asn1): ByteBuffer;
    function oidToDer(oid: string): ByteBuffer;
    function derToOid(bytes: string): string;
    function dateToUtcTime(date: Date): string;
    function dateToGeneralizedTime(date: Date): string;
  }
  export = asn1;
}
