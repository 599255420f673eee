import { notWhole } from "./whole.ts";

/** Where packages are put for apt; a folder that its sandbox user may enter. */
export const DELIVERY = "/var/cache/entityos-metal";
const APT =
  "apt-get -y -q --no-install-recommends --allow-downgrades -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold";
/** Lists of packages that are older may name what mirrors have no more, minutes. */
const LISTS_MINUTES = 24 * 60;

/**
 * Installs packages that come as a tar archive by standard input, and Debian's own. $2 are the lines by which sha256sum(1) checks them,
 * $3 is --reinstall or nothing, $4… are apt's words. Nothing is installed where one of them is another. apt's lists are renewed where they
 * are needed and missing or old; a host without a mirror that needs none of it is as good.
 */
export const INSTALL = `shift; sums=$1; reinstall=$2; shift 2
umask 022; rm -rf ${DELIVERY}; mkdir -p ${DELIVERY}; trap 'rm -rf ${DELIVERY}' EXIT; cd ${DELIVERY}
if [ -n "$sums" ]; then
  tar -xf - --no-same-owner
  echo "$sums" | sha256sum --check --strict --quiet >&2 || ${notWhole("a package")}
fi
export DEBIAN_FRONTEND=noninteractive
if ! would=$(${APT} --simulate install $reinstall "$@" 2>/dev/null </dev/null) || echo "$would" | grep '^Inst ' | grep -qv '^Inst entityos-'; then
  lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' 2>/dev/null) || lists=
  [ -n "$lists" ] && [ -n "$(find /var/lib/apt/lists -maxdepth 0 -mmin -${LISTS_MINUTES})" ] ||
    apt-get -q -o DPkg::Lock::Timeout=300 update >&2 </dev/null || echo "The lists of packages could not be renewed" >&2
fi
${APT} install $reinstall "$@" >&2 </dev/null`;
