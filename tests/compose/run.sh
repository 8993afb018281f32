#!/usr/bin/env bash
# Try docker-compose.yml for real: build, start, train, predict, kill a worker, stop.
#
#   tests/compose/run.sh [--install]
#
# Where an engine with Compose is running, it is used with the images it has or pulls.
# Where none is, and this is root on Debian with an overlay file system, the script runs
# an engine of its own inside a network namespace, on stand-ins for the three base images
# made from Debian packages: nothing is pulled, and the machine's network stays as it was.
# --install allows apt-get to add the Debian packages for that.
#
# Exit status: 0 passed, 1 failed, 77 skipped with the reason.
# FROSTLINE_COMPOSE_CACHE keeps what is slow to make (/var/tmp/frostline-compose).
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${FROSTLINE_COMPOSE_CACHE:-/var/tmp/frostline-compose}
INSTALL=no
[ "${1:-}" = --install ] && INSTALL=yes
INSIDE=()     # how to run a command where the published port can be reached
TIDY=()       # functions to call at the end, last first

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
skip() { printf 'Compose test skipped: %s\n' "$*"; exit 77; }
fail() { printf 'Compose test failed: %s\n' "$*" >&2; exit 1; }

at_the_end() {
  local status=$? step
  trap - EXIT
  set +e
  for step in "${TIDY[@]}"; do "$step" "$status"; done
  say "ended with status $status"
  exit "$status"
}
trap at_the_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock -n 9 || skip "another run is using $CACHE"

# shellcheck source=tests/compose/engine.sh
. "$HERE/engine.sh"
# shellcheck source=tests/compose/stand_ins.sh
. "$HERE/stand_ins.sh"

[ -x "$ROOT/.venv/bin/python" ] || python3 "$ROOT/scripts/install.py" run

if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  say "using the running engine"
else
  own_engine_possible
  start_own_engine
  make_stand_ins
fi
say "$(docker compose version), engine $(docker info --format '{{.ServerVersion}}')"

RUN=$(mktemp -d "$CACHE/run.XXXXXX")
PROJECT=frostline-test-$$
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$RUN/env" <<END
POSTGRES_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
FROSTLINE_PORT=$PORT
FROSTLINE_API_KEY=key-of-the-compose-test
END
COMPOSE=(docker compose --project-directory "$ROOT" --project-name "$PROJECT" --env-file "$RUN/env")

show_what_happened() {
  [ "$1" = 0 ] && return
  "${COMPOSE[@]}" ps --all
  "${COMPOSE[@]}" logs --tail 60
}
remove_stack() {
  "${COMPOSE[@]}" down --volumes --timeout 5 >"$RUN/down.log" 2>&1
  docker image prune --force >/dev/null 2>&1
  rm -rf "$RUN"
}
TIDY=(show_what_happened remove_stack "${TIDY[@]}")

say "a file without its password is refused"
: >"$RUN/empty"
if env -u POSTGRES_PASSWORD docker compose --project-directory "$ROOT" --env-file "$RUN/empty" \
    config --quiet 2>"$RUN/refused.log"; then
  fail "Compose accepted the file without POSTGRES_PASSWORD"
fi
grep -q POSTGRES_PASSWORD "$RUN/refused.log" || fail "the refusal does not name POSTGRES_PASSWORD"
"${COMPOSE[@]}" --profile gpu config --quiet

say "building both images"
"${COMPOSE[@]}" build --progress plain >"$CACHE/build.log" 2>&1 \
  || { tail -50 "$CACHE/build.log"; fail "the build; see $CACHE/build.log"; }
docker image ls --format '        {{.Repository}} {{.Size}}' | grep frostline- | sort -u

say "starting"
"${COMPOSE[@]}" up --detach --wait --wait-timeout 240 >"$RUN/up.log" 2>&1 \
  || { tail -20 "$RUN/up.log"; fail "the stack did not become healthy"; }
say "healthy"

"${INSIDE[@]}" env FROSTLINE_COMPOSE="$(printf '%s\n' "${COMPOSE[@]}")" \
  "$ROOT/.venv/bin/python" "$HERE/journey.py" "http://127.0.0.1:$PORT" key-of-the-compose-test
say "passed"
