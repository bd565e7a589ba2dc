#!/bin/sh
# Write .env from .env.example, with a random password in each empty place. Does nothing where .env exists.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already: nothing was changed" >&2
    exit 0
fi
umask 077
random() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }
while IFS= read -r line; do
    case $line in
        '#'*) printf '%s\n' "$line" ;;
        *=) printf '%s%s\n' "$line" "$(random)" ;;
        *) printf '%s\n' "$line" ;;
    esac
done <.env.example >.env.part
mv .env.part .env
echo "Wrote .env. The password of Airflow's user admin is in it: AIRFLOW_ADMIN_PASSWORD" >&2
