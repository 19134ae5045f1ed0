#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# podman-node.sh NAME [SUITE]: a kind-labelled node with containerd, as nodes-only.sh
# makes it, but a container of podman's (kind's podman provider).  Prints the path
# of a kubeconfig.  podman-node.sh --down NAME removes it.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = --down ]; then
	check_name "$2"
	podman rm -fv "$(node_name "$2" 0)" >/dev/null 2>&1 || true
	rm -rf "$(state_dir "$2")"
	exit
fi
name=$1 suite=${2:-bookworm}
check_name "$name"
STATE=$(state_dir "$name")
mkdir -p "$STATE/pki" "$STATE/kubeconfig"
node=$(node_name "$name" 0)
new_ca "$name"
new_cert admin kubernetes-admin system:masters
podman image exists "localhost/sidelift-bed:$suite" || docker save "sidelift-bed:$suite" | podman load -q >/dev/null
podman rm -fv "$node" >/dev/null 2>&1 || true
mapfile -t c < <(caps)
# without CAP_SYS_RESOURCE podman's own limits could not be set
podman run -d --name "$node" --hostname "$node" "${c[@]}" --ulimit nofile=4096:4096 --ulimit nproc=16384:16384 \
	--security-opt seccomp=unconfined --security-opt unmask=ALL --cgroupns=private --tmpfs /run:exec --tmpfs /tmp:exec -v /var \
	-p 127.0.0.1::6443 --label "io.x-k8s.kind.cluster=$name" --label io.x-k8s.kind.role=control-plane \
	-v "$STATE/pki:/bed/pki:ro" -v "$STATE/kubeconfig:/bed/kubeconfig:ro" -e BED_MODE=containerd -e "NODE_NAME=$node" \
	-e NODE_IP=10.88.0.9 -e NODE_INDEX=0 -e ROLE=control-plane -e CP_IP=10.88.0.9 "localhost/sidelift-bed:$suite" >/dev/null
new_kubeconfig "$STATE/kubeconfig.yaml" admin "kind-$name" "https://$(podman port "$node" 6443/tcp | head -1)" "kind-$name"
wait_for 30 podman exec "$node" test -e /run/bed-ready || die "containerd of $node did not come up"
echo "$STATE/kubeconfig.yaml"
