#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine.sh NAME SUITE: one more engine to build with, as if it were installed on
# this machine: in a container, but in the machine's own network.  SUITE is one of
# the docker-… (tests/bed/README.md) or podman.  Prints its address; down.sh NAME
# ends it.  BED_ENGINE_NETWORK=none: as in a virtual machine, with another loopback.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 2 ] || die "usage: NAME SUITE"
name=$1
check_name "$name"
docker image inspect "sidelift-bed:$2" >/dev/null 2>&1 || die "no image sidelift-bed:$2; run tests/bed/build.sh $2"
lock "cluster-$name"
STATE=$(state_dir "$name")
run=$STATE/run
docker rm -fv "$name" >/dev/null 2>&1 || true
rm -rf "$run"
mkdir -p "$run"
case $2 in
podman) serve="exec podman system service -t 0 unix:///bed/run/engine.sock" ;;
# with no bridge of its own it would take the machine's away
*) serve='sed "s/\"bridge\":\"none\"/\"bridge\":\"docker0\"/" /etc/docker/daemon.json >/run/daemon.json && exec dockerd --config-file /run/daemon.json -H unix:///bed/run/engine.sock' ;;
esac
mapfile -t c < <(caps)
docker run -d --name "$name" --network "${BED_ENGINE_NETWORK:-host}" "${c[@]}" --security-opt seccomp=unconfined --security-opt systempaths=unconfined \
	--device-cgroup-rule 'a *:* rwm' --cgroupns=private --tmpfs /run:exec --tmpfs /tmp:exec --volume /var -v "$run:/bed/run" \
	--label "$BED_LABEL=$name" --entrypoint sh "sidelift-bed:$2" -c \
	"for c in /sys/fs/cgroup /sys/fs/cgroup/*/; do [ ! -d \$c ] || mount -o remount,bind,rw \$c; done 2>/dev/null; $serve" >/dev/null
engine=unix://$run/engine.sock
wait_for 60 docker -H "$engine" version || { docker logs "$name" 2>&1 | tail >&2; die "the engine did not come up"; }
echo "$engine"
