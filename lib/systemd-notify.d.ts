declare module "systemd-notify" {
  /** Runs systemd-notify(1); rejects with its error text. */
  const notify: (options: { ready?: boolean; status?: string; pid?: number }) => Promise<unknown>;
  export = notify;
}
