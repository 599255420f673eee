import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what the kernel gives to connections and to servers that ask for any (ip_local_port_range): none of these takes it meanwhile. */
const FIRST = 10_000;
const COUNT = 22_000;

/** Each process begins elsewhere and gives none twice. */
let given = randomInt(COUNT);

/** A port of this machine that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + (given++ % COUNT);
    const server = createServer();
    try {
      await once(server.listen(port, "127.0.0.1"), "listening");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") continue;
      throw error;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}
