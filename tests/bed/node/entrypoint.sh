#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a node of the bed.  Environment: BED_MODE (cluster, or containerd for
# nothing but it), BED_RUNTIME (docker, podman: nothing but that; from the image), NODE_NAME, NODE_IP, NODE_INDEX, ROLE, CP_IP, KUBE_PROXY.
# /bed/pki and /bed/kubeconfig are mounted read-only.
set -u
log=/var/log/bed; mkdir -p $log /etc/kubernetes/manifests /etc/cni/net.d /run/containerd /var/lib/kubelet /kind
ln -sfn /bed/pki /etc/kubernetes/pki   # where kubeadm, and so kind, has it
mkdir -p /var/lib/minikube && ln -sfn /bed/pki /var/lib/minikube/certs

# cgroup v1 hierarchies of a private cgroup namespace arrive read-only without --privileged
for c in /sys/fs/cgroup /sys/fs/cgroup/*/; do [ -d "$c" ] && mount -o remount,bind,rw "$c" 2>/dev/null; done
mount -o remount,bind,rw /sys 2>/dev/null
mount --make-rshared /
# kubelet insists on these kernel-wide values; show them to it without changing the machine
n=0; while read -r f v; do [ -e "$f" ] || continue; [ "$(cat "$f")" = "$v" ] && continue; n=$((n+1)); echo "$v" > /run/sysctl.$n; mount --bind /run/sysctl.$n "$f"; done <<'S'
/proc/sys/vm/overcommit_memory 1
/proc/sys/vm/panic_on_oom 0
/proc/sys/kernel/panic 10
/proc/sys/kernel/panic_on_oops 1
/proc/sys/kernel/keys/root_maxkeys 1000000
/proc/sys/kernel/keys/root_maxbytes 25000000
S

cat > /etc/cni/net.d/10-bed.conflist <<C
{"cniVersion":"0.4.0","name":"bed","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.$NODE_INDEX.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
C
# routes to the other nodes' pods (nodes have fixed addresses .10+index)
pre=${CP_IP%.*}; for i in $(seq 0 15); do [ $i = "$NODE_INDEX" ] || ip route replace 10.244.$i.0/24 via $pre.$((10+i)) 2>/dev/null; done
iptables -t nat -C POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT 2>/dev/null || iptables -t nat -I POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT

cat > /var/lib/kubelet/config.yaml <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: ${BED_ENDPOINT:-unix:///run/containerd/containerd.sock}
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
oomScoreAdj: 0
staticPodPath: /etc/kubernetes/manifests
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /bed/pki/ca.crt}
authorization: {mode: Webhook}
imageGCHighThresholdPercent: 100
evictionHard: {nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
nodeStatusUpdateFrequency: 5s
registerWithTaints: []
C

run() { # name cmd...: keep it running
  local n=$1; shift
  ( trap - TERM; while :; do echo "== $(date +%T) start: $*"; "$@"; echo "== $(date +%T) exit $?"; sleep 1; done >> $log/$n.log 2>&1 ) &
}
wait_for() { local t=0; until "$@" >/dev/null 2>&1; do t=$((t+1)); [ $t -gt 600 ] && return 1; sleep .1; done; }

rm -f /run/bed-ready
if [ -x /usr/sbin/sshd ] && [ -s /bed/pki/id_rsa.pub ]; then
	install -D -o docker -g docker -m 600 /bed/pki/id_rsa.pub /home/docker/.ssh/authorized_keys
	chown docker:docker /home/docker/.ssh
	mkdir -p /run/sshd
	run sshd /usr/sbin/sshd -D -e
fi
trap 'exit 0' TERM INT
case ${BED_RUNTIME:-containerd} in
docker)
	run dockerd dockerd
	wait_for docker version && touch /run/bed-ready
	while :; do sleep 3600 & wait $!; done ;;
podman)
	touch /run/bed-ready
	while :; do sleep 3600 & wait $!; done ;;
esac
run containerd containerd --config /etc/containerd/config.toml
if [ "$BED_MODE" = containerd ]; then
	# as in a real node, the content store is never empty: containerd cannot collect
	# garbage in one that never held a blob
	wait_for ctr version && ctr -n k8s.io images import /opt/bed/pause.tar && touch /run/bed-ready
	while :; do sleep 3600 & wait $!; done
fi
if [ "$ROLE" = control-plane ]; then
  P=/bed/pki K=/bed/kubeconfig
  run etcd etcd --data-dir /var/lib/etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380
  wait_for curl -fs http://127.0.0.1:2379/health
  run kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address=$NODE_IP --secure-port=6443 \
    --client-ca-file=$P/ca.crt --tls-cert-file=$P/apiserver.crt --tls-private-key-file=$P/apiserver.key \
    --kubelet-client-certificate=$P/apiserver-kubelet.crt --kubelet-client-key=$P/apiserver-kubelet.key --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=$P/sa.pub --service-account-signing-key-file=$P/sa.key \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true
  run kube-controller-manager kube-controller-manager --kubeconfig=$K/controller-manager.conf --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file=$P/sa.key --root-ca-file=$P/ca.crt --cluster-signing-cert-file=$P/ca.crt --cluster-signing-key-file=$P/ca.key --node-monitor-period=2s
  run kube-scheduler kube-scheduler --kubeconfig=$K/scheduler.conf --leader-elect=false
  cp $K/admin.conf /etc/kubernetes/admin.conf
fi
wait_for test -S /run/containerd/containerd.sock
ctr -n k8s.io images ls -q 2>/dev/null | grep -qx registry.k8s.io/pause:3.10 || ctr -n k8s.io images import /opt/bed/pause.tar
run kubelet kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=/bed/kubeconfig/kubelet-$NODE_NAME.conf --hostname-override=$NODE_NAME --node-ip=$NODE_IP --root-dir=/var/lib/kubelet
[ "${KUBE_PROXY:-1}" = 1 ] && run kube-proxy kube-proxy --kubeconfig=/bed/kubeconfig/proxy.conf --hostname-override=$NODE_NAME --cluster-cidr=10.244.0.0/16 --proxy-mode=iptables --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --oom-score-adj=0
touch /run/bed-ready
while :; do sleep 3600 & wait $!; done
