#!/bin/sh
# Makes secrets/, the files that docker-compose.yaml mounts: asks for the key to YouTube, draws every password at random.
# Once: PostgreSQL takes its passwords on when it first starts.
set -eu
umask 077
cd "$(dirname "$0")/../.."

fail() {
    echo "$1" >&2
    exit 1
}

# As many bytes from the system's random source, in hexadecimal: no character of it means anything in a URL or in SQL.
random() {
    drawn=$(od -An -vtx1 -N"$1" /dev/urandom | tr -d ' \n')
    [ ${#drawn} -eq $((2 * $1)) ] || fail "/dev/urandom could not be read: nothing was made."
    printf %s "$drawn"
}

[ ! -e secrets ] || fail "secrets/ is there already, and the databases know its passwords: nothing was changed."

key=${YOUTUBE_API_KEY:-}
if [ -z "$key" ]; then
    printf 'A key for the YouTube Data API v3 (https://console.cloud.google.com/apis/credentials): ' >&2
    read -r key || fail "No key, so nothing was made."
fi
case $key in
    '' | *[!A-Za-z0-9_-]*) fail "A key has letters, digits, - and _, and nothing else: nothing was made." ;;
esac

airflow_db_password=$(random 24)
ghost_db_password=$(random 24)
admin_password=$(random 12)
fernet_key=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
[ ${#fernet_key} -eq 44 ] || fail "base64 is needed: nothing was made."

# All of them or none: the folder gets its name when it is whole.
rm -rf secrets.new
mkdir secrets.new
cd secrets.new

printf %s "$airflow_db_password" >airflow_db_password
random 24 >redis_password
random 32 >airflow_secret_key
random 32 >airflow_jwt_secret
# Without this one, connections and variables that are stored in Airflow cannot be read again.
printf %s "$fernet_key" >airflow_fernet_key

# One database and one login for each; no login gets into another's.
cat >databases.sql <<END
CREATE ROLE airflow LOGIN PASSWORD '$airflow_db_password';
CREATE DATABASE airflow OWNER airflow;
REVOKE ALL ON DATABASE airflow FROM PUBLIC;
CREATE ROLE ghost LOGIN PASSWORD '$ghost_db_password';
CREATE DATABASE ghost OWNER ghost;
REVOKE ALL ON DATABASE ghost FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
END

cat >airflow_passwords.json <<END
{"admin": "$admin_password"}
END

# Connections, as Airflow reads them from a file: the workers', and the others', which have no key.
database="{\"conn_type\": \"postgres\", \"host\": \"postgres\", \"port\": 5432, \"login\": \"ghost\",
    \"password\": \"$ghost_db_password\", \"schema\": \"ghost\"}"
cat >connections.json <<END
{"ghost_postgres": $database}
END
cat >worker_connections.json <<END
{
  "ghost_postgres": $database,
  "youtube_default": {"conn_type": "generic", "password": "$key"}
}
END

# The folder lets nobody in but its owner. The files are mounted one by one, read-only, for the containers' own users.
chmod 644 ./*
cd ..
mv secrets.new secrets
echo "secrets/ is made. Keep a copy of it. The password of Airflow's user admin is in secrets/airflow_passwords.json."
