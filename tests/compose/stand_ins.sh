# shellcheck shell=bash
# Stand-ins for the base images, made from Debian packages. Sourced by run.sh.
#
# They keep the part of the official images' contract that the Compose file relies on:
# the tag, the environment variables, the paths, the commands. The Python one carries the
# wheels of the project's dependencies and a pip that looks nowhere else, so that the
# Dockerfile is built as it stands, without a network.

make_root() {
  local root=$CACHE/root
  [ -e "$root.done" ] && return
  say "making a Debian to stand in for the base images (once, about two minutes)"
  rm -rf "$root"
  debootstrap --variant=minbase bookworm "$root" "$(debian_archive)" </dev/null >"$CACHE/root.log" 2>&1 \
    || { tail -5 "$CACHE/root.log"; fail "debootstrap; see $CACHE/root.log"; }
  # No package may start its server, here or in the machine's own network.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod +x "$root/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install --yes -qq --no-install-recommends \
    ca-certificates postgresql python3 python3-pip python3-venv redis-server \
    </dev/null >>"$CACHE/root.log" 2>&1 || { tail -5 "$CACHE/root.log"; fail "see $CACHE/root.log"; }
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb "$root/var/lib/postgresql" \
    "$root/usr/sbin/policy-rc.d" "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  ln -sf python3 "$root/usr/bin/python"
  : >"$root/etc/resolv.conf"
  touch "$root.done"
}

# What both images install, and what builds the project itself, for Python 3.11.
download_wheels() {
  local wanted key
  wanted=$("$ROOT/.venv/bin/python" - "$ROOT/pyproject.toml" <<'END'
import sys, tomllib
from pathlib import Path

file = tomllib.loads(Path(sys.argv[1]).read_text())
project, extras = file["project"], file["project"]["optional-dependencies"]
lines = [*project["dependencies"], *extras["api"], *extras["import"], *extras["worker"]]
# Debian's Python 3.11.2 is older than the official image's and needs one wheel more.
more = {"async-timeout", "editables", *file["build-system"]["requires"]}
print("\n".join(sorted({*lines, *more})))
END
  )
  key=$(printf '%s' "$wanted" | sha256sum | cut -c1-16)
  WHEELS=$CACHE/wheels-$key
  [ -e "$WHEELS/.done" ] && return
  say "downloading the wheels of both images"
  rm -rf "$CACHE"/wheels-*
  mkdir "$WHEELS"
  printf '%s\n' "$wanted" >"$WHEELS/requirements.txt"
  "$ROOT/.venv/bin/python" -m pip download --quiet --only-binary :all: --python-version 3.11 \
    --dest "$WHEELS" --requirement "$WHEELS/requirements.txt" </dev/null >"$CACHE/wheels.log" 2>&1 \
    || { tail -5 "$CACHE/wheels.log"; fail "pip download; see $CACHE/wheels.log"; }
  touch "$WHEELS/.done"
}

# build_stand_in TAG FOLDER, with the Dockerfile on standard input
build_stand_in() {
  docker build --quiet --tag "$1" --file - "$2" >>"$CACHE/stand_ins.log" 2>&1 \
    || { tail -5 "$CACHE/stand_ins.log"; fail "the stand-in for $1"; }
}

make_stand_ins() {
  make_root
  download_wheels
  local stamp
  stamp=$(stat -c %Y "$CACHE/root.done")
  if ! docker image inspect "frostline-stand-in:$stamp" >/dev/null 2>&1; then
    tar --directory "$CACHE/root" --create . | docker import - "frostline-stand-in:$stamp" >/dev/null
  fi
  build_stand_in python:3.11-slim "$WHEELS" <<END
FROM frostline-stand-in:$stamp
COPY . /wheels
RUN printf '[global]\nno-index = true\nfind-links = /wheels\n' >/etc/pip.conf
CMD ["python3"]
END
  build_stand_in redis:7-alpine "$HERE" <<END
FROM frostline-stand-in:$stamp
WORKDIR /data
VOLUME /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["redis-server"]
END
  build_stand_in postgres:16-alpine "$HERE" <<END
FROM frostline-stand-in:$stamp
ENV PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin
VOLUME /var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
END
  say "stand-ins are ready"
}
