import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { open } from "./client.ts";
import type { ClientCertificate, Pki } from "./pki.ts";

const STREAM = "GET /stream HTTP/1.1\r\nHost: service.example\r\n\r\n";

export interface Download {
  readonly socket: TLSSocket;
  /** The client's. */
  readonly localPort: number;
  /** Resolves when it is over. */
  readonly ended: Promise<unknown>;
}

/** A download that runs. */
export async function download(port: number, pki: Pki, certificate: ClientCertificate): Promise<Download> {
  const socket = await open(port, { ca: pki.root, certificate, localAddress: "127.0.0.1" });
  socket.on("error", () => {}).write(STREAM);
  const ended = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "data");
  return { socket: socket.resume(), localPort: Number(socket.localPort), ended };
}
