# The node's side of a load into dockerd, by the node's own docker; node.sh and
# imagestore.sh come before it.
#
# `look` gives, behind the images asked for, the chain IDs; with containerd's image
# store all images, the blobs, and the manifests as further sections.
client=docker
format='{"id":{{json .Id}},"size":{{.Size}},"tags":{{json .RepoTags}},"layers":{{json .RootFS.Layers}}}'
known() { [ $# = 0 ] || inspect "$@" 2>/dev/null || true; }
store() {
	facts=$(docker info --format '{{.Driver}} {{.DockerRootDir}} {{.ServerVersion}} {{.ID}} {{json .DriverStatus}}') || return
	# shellcheck disable=SC2086
	set -- $facts
	driver=$1 root=$2 version=$3 id=$4
	case $facts in
	*io.containerd.snapshotter*) store=containerd ;;
	*) store=$driver ;;
	esac
}
# The content is that of dockerd's own containerd, or of the machine's; in a new one
# there are no blobs yet.
content() {
	dir=$root/containerd/daemon
	[ -d "$dir" ] || dir=/var/lib/containerd
	blobs=$dir/io.containerd.content.v1.content/blobs/sha256
}
manifests() {
	for digest in "$@"; do
		[ -f "$blobs/${digest#sha256:}" ] || continue
		echo "$token"
		echo "$digest"
		cat "$blobs/${digest#sha256:}"
		echo
	done
}
look() {
	machine
	store || return
	echo "$driver $store $version $id"
	echo "$token"
	if [ "$store" = containerd ]; then
		content
		ids=$(all) || return
		known $ids
		echo "$token"
		ls "$blobs" 2>/dev/null
		manifests $ids
	else
		known "$@"
		echo "$token"
		# what a load asks for each layer before it looks for the layer's file
		[ ! -d "$root/image/$driver/layerdb/sha256" ] || find "$root/image/$driver/layerdb/sha256" -mindepth 1 -maxdepth 1 -printf 'sha256:%f Committed\n'
	fi
}
list() {
	store && ids=$(all) || return
	[ "$store" != containerd ] || content
	known $ids
	echo "$token"
	# here inspect counts what is packed only
	[ "$store" != containerd ] || docker image ls -a --no-trunc --format '{{.ID}} {{.Size}}' || return
	echo "$token"
	containers=$(docker container ls -aq) || return
	[ -z "$containers" ] || docker container inspect --format '{{.Image}}' $containers 2>/dev/null
	[ "$store" != containerd ] || manifests $ids
}
staging_names() { docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -F "$1"; }
sweep() {
	for name in $(staging_names "$staging"); do
		pid=${name#"$staging"}
		alive "${pid%%:*}" || docker image rm "$name" >/dev/null
	done
}
stage() { frames | docker load -q >/dev/null; }
take_back() {
	[ -n "$staged" ] || return 0
	names=$(staging_names "$staging$$:")
	[ -z "$names" ] || docker image rm $names >/dev/null
	staged=
}
serve
