#!/bin/sh
# Install the Debian/Ubuntu packages that Wattline needs and this machine lacks. Does nothing where all are there.
#
# It looks for what a package gives, not for its name: a compiler or a database from elsewhere is as good.
set -eu

PYTHON=${PYTHON:-python3}
missing=""
need() { missing="$missing $1"; }
have() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null 2>&1; }
python_has() { "$PYTHON" -c "$1" >/dev/null 2>&1; }

have "$PYTHON" || { echo "There is no $PYTHON: install Python 3.11 to 3.13, or say PYTHON=…" >&2; exit 1; }
python_has 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
    echo "$("$PYTHON" --version) does not do: Wattline runs on Python 3.11 to 3.13 (PYTHON=… chooses another)" >&2
    exit 1
}

python_has 'import ensurepip, venv' || need python3-venv
python_has 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' || need python3-dev
have gcc || need gcc
have pkg-config || need pkg-config
have mariadb_config || need libmariadb-dev
have mariadbd || need mariadb-server-core
have my_print_defaults || need mariadb-client-core
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need postgresql
/sbin/ldconfig -p | grep -q 'libcurl\.so\.4 ' || need libcurl4 # mongod

distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-}")
if ! have chromium && ! have google-chrome; then
    if [ "$distribution" = ubuntu ]; then
        echo "No Chromium here, and Ubuntu has it as a snap only: the tests of the pages are skipped." >&2
    else
        need chromium
        [ -n "$(find /usr/share/fonts -iname '*cjk*' 2>/dev/null | head -1)" ] || need fonts-noto-cjk
    fi
fi

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=""
elif have sudo && sudo -n true 2>/dev/null || { have sudo && [ -t 0 ]; }; then
    root="sudo"
else
    root=none
fi
if [ "$root" = none ] || ! have apt-get; then
    echo "Wattline needs packages that this account may not install. Let an administrator run:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# Debian's postgresql makes and starts a server of its own when it is first installed. Nobody here needs it: during this
# installation the program that would make it does nothing.
nothing=$(mktemp -d)
trap 'rm -rf "$nothing"' EXIT
ln -s /bin/true "$nothing/pg_createcluster"
chmod 755 "$nothing"

echo "Installing:$missing"
$root apt-get update -q
# shellcheck disable=SC2086 # the lists are words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o "DPkg::Path=$nothing:/usr/sbin:/usr/bin:/sbin:/bin" $missing
