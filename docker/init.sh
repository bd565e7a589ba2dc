#!/bin/sh
# Bring an installation in containers to the newest state: Airflow's keys and logins, its metadata, the databases, the
# pools. Runs before every start and changes nothing where all is done.
set -eu
umask 077
secrets=$WATTLINE_DATA_DIR/secrets
mkdir -p "$secrets"

key() { # name, Python expression
    [ -s "$secrets/$1" ] || python -c "import base64, secrets; print($2, end='')" >"$secrets/$1"
}
key jwt_secret 'secrets.token_urlsafe(64)'
key api_secret_key 'secrets.token_urlsafe(32)'
key fernet_key 'base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()'
python -c 'import json, os
print(json.dumps({user: os.environ[f"AIRFLOW_{user.upper()}_PASSWORD"] for user in ("admin", "viewer")}))' \
    >"$secrets/airflow_passwords.json"

wattline schema upgrade
wattline meters create
airflow db migrate
airflow pools import /opt/airflow/config/pools.json
