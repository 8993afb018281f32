# shellcheck shell=bash
# An engine of the test's own: dockerd in a network namespace. Sourced by run.sh.

PACKAGES_OF_ENGINE=(debootstrap docker.io iproute2 iptables)

own_engine_possible() {
  [ "$(id -u)" = 0 ] || skip "no running engine, and starting one needs root"
  grep -qw overlay /proc/filesystems || skip "no running engine, and no overlay file system"
  [ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ] \
    || skip "no running engine, and no control groups are mounted"
  command -v apt-get >/dev/null || skip "no running engine, and this is not Debian"
  local free
  free=$(df --output=avail -k "$CACHE" | tail -1)
  [ "$free" -gt 8000000 ] || skip "no running engine, and less than 8 GB free in $CACHE"
  if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
    [ "$INSTALL" = yes ] || skip "no engine; run with --install to add: ${PACKAGES_OF_ENGINE[*]}"
    say "installing ${PACKAGES_OF_ENGINE[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq \
      --no-install-recommends "${PACKAGES_OF_ENGINE[@]}"; } </dev/null >"$CACHE/apt.log" 2>&1 \
      || { tail -5 "$CACHE/apt.log"; skip "the engine's packages cannot be installed"; }
  fi
}

# The address of the Debian archive that this machine uses.
debian_archive() {
  apt-get indextargets --format '$(SITE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
    | awk '$2 !~ /security/ { print $2; exit }'
}

# Compose and BuildKit as plug-ins of the client, unpacked from a newer Debian: the
# machine's own package lists are not touched.
fetch_plugins() {
  export DOCKER_CONFIG=$CACHE/client
  [ -x "$DOCKER_CONFIG/cli-plugins/docker-compose" ] && return
  local lists=$CACHE/newer
  mkdir -p "$lists/state/lists/partial" "$lists/cache/archives/partial" "$DOCKER_CONFIG/cli-plugins"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' \
    "$(debian_archive)" >"$lists/sources.list"
  local options=(
    -o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State=$lists/state" -o Dir::State::status=/var/lib/dpkg/status
    -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root
  )
  apt-get "${options[@]}" -qq update </dev/null
  (cd "$lists" && apt-get "${options[@]}" -qq download docker-compose docker-buildx </dev/null)
  local package
  for package in "$lists"/*.deb; do dpkg --extract "$package" "$lists/unpacked"; done
  cp "$lists"/unpacked/usr/libexec/docker/cli-plugins/* "$DOCKER_CONFIG/cli-plugins/"
  rm -rf "$lists"
}

start_own_engine() {
  fetch_plugins
  NAMESPACE=frostline-$$
  ENGINE=$(mktemp -d "$CACHE/engine.XXXXXX")
  export DOCKER_HOST=unix://$ENGINE/socket
  ip netns add "$NAMESPACE"
  # `ip netns exec` would hide the control groups from the engine; nsenter does not.
  INSIDE=(nsenter "--net=/run/netns/$NAMESPACE")
  TIDY=(stop_own_engine "${TIDY[@]}")
  "${INSIDE[@]}" ip link set lo up
  # In a session of its own: a signal for the script must not stop it before its tidying.
  setsid "${INSIDE[@]}" dockerd --data-root "$CACHE/data" --exec-root "$ENGINE/exec" \
    --pidfile "$ENGINE/pid" --host "$DOCKER_HOST" --storage-driver overlay2 \
    >"$CACHE/engine.log" 2>&1 9>&- &
  ENGINE_PID=$!
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$ENGINE_PID" 2>/dev/null || break
    sleep 0.5
  done
  tail -5 "$CACHE/engine.log"
  skip "an engine cannot be started here"
}

stop_own_engine() {
  # What still runs in it has nobody left to give a job back to.
  docker ps --quiet 2>/dev/null | xargs --no-run-if-empty docker kill >/dev/null 2>&1
  kill "$ENGINE_PID" 2>/dev/null && wait "$ENGINE_PID" 2>/dev/null
  find /sys/fs/cgroup -path '*/docker*' -depth -type d -exec rmdir {} + 2>/dev/null
  ip netns delete "$NAMESPACE"
  umount --recursive "$ENGINE" 2>/dev/null
  rm -rf "$ENGINE"
}
