import { ADMIN, type Page } from "../../lib/admin/api.ts";
import { PATH } from "../../lib/service.ts";
import { UsageError, wholeNumber } from "./command.ts";
import { ask, type Endpoint, socketEndpoint } from "./http.ts";
import type { Io } from "./io.ts";

/** Options of every command that asks control. */
export const CONTROL_OPTIONS = {
  socket: { type: "string" },
  control: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  ca: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** Options of every command that lists. */
export const PAGE_OPTIONS = { after: { type: "string" }, limit: { type: "string", default: String(ADMIN.defaultLimit) } } as const;

export const CONTROL_HELP = `Where control is
  --socket PATH    its local socket (default ${PATH.controlSocket})
  --control URL    or its address, with --cert FILE --key FILE of an operator and --ca FILE of the root
  --json           prints JSON`;

export const PAGE_HELP = `Paging
  --limit N        items in one page, at most ${ADMIN.maxLimit} (default ${ADMIN.defaultLimit})
  --after CURSOR   the page behind this one, as the page before says`;

export interface ControlValues {
  readonly socket?: string | undefined;
  readonly control?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly ca?: string | undefined;
}

/** Control, as its API (types in lib/admin/api.ts). Answers are taken at their word: control is who decides here. */
export interface Control {
  get<T>(path: string): Promise<T>;
  send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: object): Promise<T>;
  /** @param filter more of the query: what the items must be of */
  page<T>(
    path: string,
    values: { readonly after?: string | undefined; readonly limit: string },
    filter?: Readonly<Record<string, string>>,
  ): Promise<Page<T>>;
}

/** @throws UsageError when the options contradict each other */
export async function openControl(values: ControlValues): Promise<Control> {
  const endpoint = await endpointOf(values);
  const get = async <T>(path: string): Promise<T> => (await ask(endpoint, { method: "GET", path: ADMIN.prefix + path })).body as T;
  return {
    get,
    send: async <T>(method: "POST" | "PUT" | "DELETE", path: string, body?: object) => {
      const headers = { [ADMIN.header]: "1" };
      const content = body === undefined ? {} : { body: JSON.stringify(body) };
      return (await ask(endpoint, { method, path: ADMIN.prefix + path, headers, ...content })).body as T;
    },
    page: (path, { after, limit }, filter = {}) => {
      const query = new URLSearchParams({
        limit: String(wholeNumber(limit, "limit", 1, ADMIN.maxLimit)),
        ...(after === undefined ? {} : { after }),
        ...filter,
      });
      return get(`${path}?${query}`);
    },
  };
}

/** Prints a page as JSON, or as a table with the command for the next one below it. */
export function printPage<T>(io: Io, page: Page<T>, json: boolean, table: (items: readonly T[]) => string): void {
  if (json) {
    printJson(io, page);
    return;
  }
  io.out(page.items.length === 0 ? "none\n" : table(page.items));
  if (page.next !== null) io.out(`more: --after ${page.next}\n`);
}

export const printJson = (io: Io, value: unknown): void => io.out(`${JSON.stringify(value)}\n`);

async function endpointOf(values: ControlValues): Promise<Endpoint> {
  const { control, cert, key, ca } = values;
  if (control === undefined) {
    if (cert !== undefined || key !== undefined || ca !== undefined) throw new UsageError("--cert, --key and --ca go with --control.");
    return socketEndpoint(values.socket ?? PATH.controlSocket);
  }
  if (values.socket !== undefined) throw new UsageError("--socket and --control exclude each other.");
  if (cert === undefined || key === undefined || ca === undefined) throw new UsageError("--control needs --cert, --key and --ca.");
  const { tlsEndpoint } = await import("./tls.ts");
  return tlsEndpoint(control, { ca, own: { certificate: cert, key } }, "control");
}
