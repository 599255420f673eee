import { CERTIFICATES, CONNECTIONS, cellsOf, type Expected, expected, PATTERNS, SWITCHES } from "./decision.ts";

const IMPOSSIBLE = "–";

/** docs/decision-table.md as a whole. */
export function page(): string {
  const reasons = new Map<string, number>();
  const said = (what: Expected): string => {
    if (typeof what === "string") return what;
    reasons.set(what.impossible, (reasons.get(what.impossible) ?? 0) + 1);
    return IMPOSSIBLE;
  };
  const sections = SWITCHES.map((lanes) => {
    const on = (["ip", "ipcert", "roaming"] as const).filter((lane) => lanes[lane]);
    const cells = cellsOf(lanes);
    const rows = PATTERNS.flatMap((pattern) => {
      const of = cells.filter((cell) => cell.pattern === pattern);
      return [...new Set(of.map(({ address }) => address))].flatMap((address) =>
        CONNECTIONS.map((connection) => {
          const verdicts = CERTIFICATES.map((certificate) => said(expected({ pattern, address, certificate, connection, lanes })));
          return { words: [pattern, address, connection, ...verdicts], possible: verdicts.some((verdict) => verdict !== IMPOSSIBLE) };
        }),
      );
    });
    const head = ["pattern", "address", "connection", ...CERTIFICATES];
    const lines = [head, head.map(() => "---"), ...rows.filter(({ possible }) => possible).map(({ words }) => words)];
    return `## Lanes on: ${on.join(", ") || "none"}\n\n${lines.map((line) => `| ${line.join(" | ")} |\n`).join("")}`;
  });
  const impossible = [...reasons].map(([reason, count]) => `- ${reason} (${count} cells)\n`).join("");
  return `# The decision table

Written by \`test/kernel/decision-page.ts\` from \`expected()\` in \`test/kernel/decision.ts\`; \`test/kernel/decision-table.test.ts\` compares this
page with it, and asks a real kernel with a real HAProxy, and one with a real nginx, for every cell, over IPv4 and IPv6, with what they say
on the wire. Columns are what the client shows.

- **in, known**: served; the application is told the device. **in**: served; it is told none.
- **first flight**: TCP and the server's first TLS flight, then nothing: no HTTP byte, no alert, FIN or RST. From nginx so once it
  has read a request, and to a client that does not hang up before; who sends none gets an alert and FIN after 10 s.
- **no packet**: not one. **cut**: not one more, on a connection that was served before.
- open: connected and served while the certificate was valid and its CA there; then it became what the column says. resumed: after the same,
  the session is offered again over a new connection.
- expired: still on the list of registered certificates when the connection is new. other CA: under another root, and on the list. retired
  CA: taken out of the bundle, while its certificates are still on the list and the client shows the CA's own certificate too.
- ${IMPOSSIBLE}: there is no such cell:

${impossible}
${sections.join("\n")}`;
}
