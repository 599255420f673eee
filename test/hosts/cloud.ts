import { readFile } from "node:fs/promises";
import { type Double, startDouble } from "../infra/aws/bucket.ts";
import { servePeer } from "../lab/peer.ts";

/** What stands around an instance, at one address of the hosts' link: metadata, bucket, secrets, and a mirror of Debian. */
export interface Asks {
  start: { readonly address: string };
  /** Puts a file into the bucket, or below /debian/ into the mirror. */
  put: { readonly path: string; readonly file: string };
  secret: { readonly arn: string; readonly value: string };
  /** The instance that metadata speaks of from now on. */
  instance: { readonly id: string };
  /** Every object's path, and what was refused. */
  look: Record<string, never>;
}

export interface Answers {
  start: { readonly url: string };
  put: Record<string, never>;
  secret: Record<string, never>;
  instance: Record<string, never>;
  look: { readonly objects: readonly string[]; readonly read: readonly string[]; readonly refused: readonly string[] };
}

let double: Double | null = null;
const running = (): Double => {
  if (double === null) throw new Error("not started");
  return double;
};

const operations: { readonly [K in keyof Asks]: (ask: Asks[K]) => Promise<Answers[K]> } = {
  async start({ address }) {
    // On every address: metadata has one of its own.
    double = await startDouble({ address: "0.0.0.0", port: 80 });
    return { url: `http://${address}` };
  },
  async put({ path, file }) {
    running().objects.set(path, await readFile(file));
    return {};
  },
  async secret({ arn, value }) {
    running().secrets.set(arn, value);
    return {};
  },
  async instance({ id }) {
    running().instance = id;
    return {};
  },
  async look() {
    const { objects, read, refused } = running();
    return { objects: [...objects.keys()], read, refused };
  },
};

servePeer(operations);
