#!/bin/sh
# Start Redis as the official image does: options alone mean redis-server, and other
# containers may connect.
set -e
case "${1:-}" in
  -*|*.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
  shift
  set -- redis-server --protected-mode no "$@"
fi
exec "$@"
