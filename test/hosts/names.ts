import { randomBytes } from "node:crypto";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Names of everything that a run makes begin with this. Short, for the kernel's names of links have 15 letters. */
const PREFIX = "eosv";
const NAME = new RegExp(`^${PREFIX}[0-9a-f]{5}`);

/** An abstract socket (unix(7)): the kernel forgets it with its process, however that ends, and every process namespace sees it. */
const socketOf = (name: string): string => `\0entityos-hosts-${name}`;

export interface HeldName extends AsyncDisposable {
  readonly name: string;
}

/** A name that no other run has, until it is disposed or this process ends. */
export async function holdName(): Promise<HeldName> {
  const name = `${PREFIX}${randomBytes(3).toString("hex").slice(0, 5)}`;
  const server = createServer((socket) => socket.destroy());
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketOf(name), resolve);
  });
  return { name, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Resolves when nobody holds that name any more: a process that ends lets go of one thing after the other. */
export async function nameReleased(name: string): Promise<void> {
  while (await isHeld(name)) await delay(20);
}

/** Of what stands somewhere, what a run made that is gone. */
export async function abandonedOf(found: readonly string[]): Promise<string[]> {
  const runs = new Set(found.flatMap((name) => NAME.exec(name) ?? []));
  const gone = new Set<string>();
  for (const run of runs) if (!(await isHeld(run))) gone.add(run);
  return found.filter((name) => gone.has(NAME.exec(name)?.[0] ?? ""));
}

function isHeld(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketOf(name));
    const told = (held: boolean) => {
      socket.destroy();
      resolve(held);
    };
    socket.once("connect", () => told(true));
    socket.once("error", () => told(false));
  });
}
