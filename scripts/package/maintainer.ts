/** Maintainer scripts, each as small as it can be; unit handling as debhelper writes it (deb-systemd-helper(1p)). */

const HEAD = "#!/bin/sh\nset -e\n";

/** A package with system user, folders and units. The first unit is the service that is started and restarted. */
export interface ServicePackage {
  readonly name: string;
  readonly service: string;
  /** Every unit, in the order in which they are enabled. */
  readonly units: readonly string[];
  /** A unit that runs a program of another package, and takes a new one by a reload. */
  readonly follows?: { readonly unit: string; readonly program: string };
  /** Shell lines at purge, after the units are gone: what the service made. */
  readonly purge: string;
}

/** Starts what may start: before it is configured, the units' own conditions keep them from doing anything. */
export const postinst = ({ name, service, units, follows }: ServicePackage): string => `${HEAD}
if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-remove ]; then
  systemd-sysusers ${name}.conf
  systemd-tmpfiles --create ${name}.conf
  for unit in ${units.join(" ")}; do
    deb-systemd-helper unmask "$unit" >/dev/null || true
    if deb-systemd-helper --quiet was-enabled "$unit"; then
      deb-systemd-helper enable "$unit" >/dev/null || true
    else
      deb-systemd-helper update-state "$unit" >/dev/null || true
    fi
  done
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    # A new version takes over by a restart, at once, never by a stop and a later start.
    if [ -n "$2" ]; then action=restart; else action=start; fi
    deb-systemd-invoke "$action" ${service} >/dev/null || true
  fi
fi
${follows === undefined ? "" : triggered(follows)}`;

/** What runs goes on running, and the new program takes its connections over; what does not run is left so. */
const triggered = ({ unit }: NonNullable<ServicePackage["follows"]>): string => `
if [ "$1" = triggered ] && [ -d /run/systemd/system ] && systemctl --quiet is-active ${unit}; then
  deb-systemd-invoke reload ${unit} >/dev/null || true
fi
`;

/** An upgrade leaves the service running until the new one takes over. */
export const prerm = ({ units }: ServicePackage): string => `${HEAD}
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop ${units.join(" ")} >/dev/null || true
fi
`;

export const postrm = ({ name, units, purge }: ServicePackage): string => `${HEAD}
if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = remove ] && command -v deb-systemd-helper >/dev/null; then
  deb-systemd-helper mask ${units.join(" ")} >/dev/null || true
fi
if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge ${units.join(" ")} >/dev/null || true
    deb-systemd-helper unmask ${units.join(" ")} >/dev/null || true
  fi
${purge.replace(/^(?=.)/gm, "  ")}  if getent passwd ${name} >/dev/null; then
    userdel ${name}
  fi
fi
`;
