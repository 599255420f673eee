import { connect, type TLSSocket } from "node:tls";

/** Longest head of an answer. */
const MAX_HEAD_BYTES = 16 << 10;
const HEAD_END = Buffer.from("\r\n\r\n");
const NO_BYTES: Buffer = Buffer.alloc(0);

/**
 * One kept-open connection that sends ready bytes and reads of each answer its status and its length alone. A client in the field has a
 * processor of its own; beside the registry, what `node:https` makes of a request would take as long as the registry itself.
 */
export class LoadConnection {
  readonly #socket: TLSSocket;
  readonly #answered: (status: number) => void;
  /** What was read of a head that is not whole. */
  #head: Buffer = NO_BYTES;
  /** Bytes of the answer's body that are still to come; null while its head is. */
  #left: number | null = null;
  #status = 0;

  private constructor(socket: TLSSocket, answered: (status: number) => void) {
    this.#socket = socket;
    this.#answered = answered;
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
  }

  /**
   * @param answered told the status of each answer, one for each {@link LoadConnection.send}; 0 when the connection ended
   * @throws Error when it cannot be opened
   */
  static open(url: URL, ca: Buffer, answered: (connection: LoadConnection, status: number) => void): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: url.hostname, port: Number(url.port) || 443, ca });
      socket.setNoDelay(true);
      const connection: LoadConnection = new LoadConnection(socket, (status) => answered(connection, status));
      socket.once("secureConnect", () => resolve(connection));
      socket.on("error", reject);
      socket.once("close", () => answered(connection, 0));
    });
  }

  /** One request at a time: the next one when the one before was answered. */
  send(request: Buffer): void {
    this.#socket.write(request);
  }

  #read(bytes: Buffer): void {
    if (this.#left === null) this.#readHead(this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]));
    else this.#readBody(bytes.length);
  }

  #readHead(bytes: Buffer): void {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) this.#socket.destroy(new Error("no end of the head"));
      this.#head = bytes;
      return;
    }
    const head = bytes.toString("latin1", 0, end);
    this.#head = NO_BYTES;
    this.#status = Number(head.slice(9, 12));
    this.#left = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
    this.#readBody(bytes.length - end - HEAD_END.length);
  }

  #readBody(bytes: number): void {
    const left = (this.#left ?? 0) - bytes;
    this.#left = left > 0 ? left : null;
    if (left < 0 || Number.isNaN(left)) this.#socket.destroy(new Error("an answer of another length than it says"));
    else if (left === 0) this.#answered(this.#status);
  }
}
