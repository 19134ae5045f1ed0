# Which runtime the kubelet of a node talks to: its endpoint, or else a socket that
# is there.  cri-dockerd's nodes have a containerd as well.
for file in /var/lib/kubelet/kubeadm-flags.env /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/config.yaml; do
	endpoint=$(sed -n 's/.*container-*[rR]untime-*[eE]ndpoint[=: ]*["'\'']*\([^"'\'' ]*\).*/\1/p' "$file" 2>/dev/null)
	[ -z "$endpoint" ] || { printf %s "$endpoint"; exit; }
done
for socket in /run/k3s/containerd/containerd.sock /run/cri-dockerd.sock /var/run/cri-dockerd.sock /run/crio/crio.sock \
	/run/containerd/containerd.sock /run/docker.sock; do
	[ ! -S "$socket" ] || { printf %s "$socket"; exit; }
done
