#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# up.sh NAME [SUITE...]: a real cluster with a node for each SUITE (default:
# bookworm), the first its control plane.  Prints the path of its kubeconfig
# (context kind-NAME).  What is there already is started or repaired.
# KUBE_PROXY=0 leaves that out; BED_NODE_TMPFS=SIZE bounds the last node's disk.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

begin_cluster "$@"

# pki, once; the addresses in it are the network's
if [ "$(cat "$STATE/subnet" 2>/dev/null)" != "$SUBNET" ]; then
	rm -rf "$STATE"/pki/* "$STATE"/kubeconfig/*
	echo "$SUBNET" >"$STATE/subnet"
fi
cp0=$(node_name "$name" 0)
new_ca "$name"
[ -s "$STATE/pki/sa.key" ] || {
	openssl genrsa -out "$STATE/pki/sa.key" 2048 2>/dev/null
	openssl rsa -in "$STATE/pki/sa.key" -pubout -out "$STATE/pki/sa.pub" 2>/dev/null
}
new_cert apiserver kube-apiserver bed "DNS:localhost,DNS:$cp0,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$SUBNET.10,IP:10.96.0.1"
new_cert apiserver-kubelet apiserver-kubelet system:masters
new_cert admin kubernetes-admin system:masters
new_cert controller-manager system:kube-controller-manager system:kube-controller-manager
new_cert scheduler system:kube-scheduler system:kube-scheduler
new_cert proxy system:kube-proxy system:node-proxier
for user in admin controller-manager scheduler proxy; do
	new_kubeconfig "$STATE/kubeconfig/$user.conf" $user $user "https://$SUBNET.10:6443" "$name"
done
for i in $(seq 0 $((n - 1))); do
	node=$(node_name "$name" "$i")
	new_cert "kubelet-$node" "system:node:$node" system:nodes
	new_kubeconfig "$STATE/kubeconfig/kubelet-$node.conf" "kubelet-$node" "$node" "https://$SUBNET.10:6443" "$name"
done

drop_other_nodes "$name" "$n"
for i in $(seq 0 $((n - 1))); do
	start_node "$name" "$i" "${suites[i]}" cluster "$n"
done
config=$STATE/kubeconfig.yaml
new_kubeconfig "$config.tmp" admin "kind-$name" "https://$(published "$name")" "kind-$name"
chmod 600 "$config.tmp"
mv "$config.tmp" "$config"
say "$name: $n node container(s) started"

kube() { "$BED_BIN/kubectl" --kubeconfig="$config" --request-timeout=5s "$@"; }
api_ready() { kube get --raw=/readyz; }
nodes_ready() {
	kube get sa default && [ "$(kube get nodes --no-headers | awk '$2 == "Ready"' | wc -l)" -ge "$n" ]
}
kubelet_ready() { [ "$(kube get --raw="/api/v1/nodes/$1/proxy/healthz")" = ok ]; }
wait_for 120 api_ready || die "the API server did not become ready: docker exec $cp0 tail /var/log/bed/*.log"
wait_for 120 nodes_ready || { kube get nodes >&2; die "not all nodes became Ready"; }
for i in $(seq 0 $((n - 1))); do # live kubelets, not a remembered Ready
	wait_for 60 kubelet_ready "$(node_name "$name" "$i")" || die "the kubelet of node $i does not answer"
done
kube label node "$cp0" node-role.kubernetes.io/control-plane= --overwrite >/dev/null
say "$name: all $n node(s) Ready"
echo "$config"
