import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import type { ClientCertificate } from "./pki.ts";

export interface Asking {
  readonly ca: string;
  readonly certificate?: Pick<ClientCertificate, "cert" | "key"> | undefined;
  readonly host?: string;
  readonly localAddress?: string;
  readonly alpn?: readonly string[];
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  readonly session?: Buffer | undefined;
}

/** A TLS connection to a listener. A handshake that is not finished, or a connection that ends, rejects. */
export async function open(
  port: number,
  { ca, certificate, host = "127.0.0.1", localAddress, alpn = ["http/1.1"], maxVersion = "TLSv1.3", session }: Asking,
): Promise<TLSSocket> {
  const socket = connect({
    port,
    host,
    ca,
    ALPNProtocols: [...alpn],
    maxVersion,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(session === undefined ? {} : { session }),
    ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}

/** What came back over a connection until it ended, or until the answer was whole. */
export interface Answer {
  readonly status: number | null;
  readonly body: string;
}

/** An empty line between requests is passed over (RFC 9112 §2.2); to a connection that was dropped silently it gets RST on loopback. */
const POKE_MS = 20;

/**
 * One request in HTTP/1.1 over an open connection. Status is null when the connection ended without one HTTP byte.
 * @param pokes without them a silent drop is waited for in vain; with them an answer that closes the connection may be lost to RST
 */
export async function ask(socket: TLSSocket, request: string, { pokes = true } = {}): Promise<Answer> {
  socket.write(request.replaceAll("\n", "\r\n"));
  let text = "";
  return new Promise((resolve) => {
    const poke = pokes ? setInterval(() => socket.write("\r\n"), POKE_MS) : undefined;
    const done = () => {
      clearInterval(poke);
      socket.off("data", take).off("close", done);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      resolve({ status: status === undefined ? null : Number(status), body: text.slice(text.indexOf("\r\n\r\n") + 4) });
    };
    const take = (data: Buffer) => {
      text += data.toString("latin1");
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
      const head = text.indexOf("\r\n\r\n");
      const whole = length !== undefined ? text.length >= head + 4 + Number(length) : text.includes("\r\n0\r\n\r\n");
      if (head >= 0 && whole) done();
    };
    socket.on("data", take).once("close", done);
    if (socket.closed) done();
  });
}

export const GET = "GET / HTTP/1.1\nHost: service.example\n\n";

/** A connection of its own for one request. */
export async function get(port: number, asking: Asking, request = GET): Promise<Answer> {
  let socket: TLSSocket;
  try {
    socket = await open(port, asking);
  } catch {
    return { status: null, body: "" };
  }
  try {
    return await ask(socket, request);
  } finally {
    socket.destroy();
  }
}

/** The gate's own headers among those that the application got. */
export function identityOf({ body }: Answer): Record<string, string> {
  const json = body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1);
  const headers = JSON.parse(json) as Record<string, string>;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /^x[-_]entityos/.test(name)));
}
