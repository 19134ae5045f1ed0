# The node's side of a load into containers/storage, which CRI-O shares with the
# node's own podman; node.sh and imagestore.sh come before it.
client=podman
# podman before 4.4 names an image by the folder that it comes from
folders=/var/tmp/sidelift.p
folder=$folders$$.$token
format='{"id":{{json .ID}},"size":{{.Size}},"tags":{{json .RepoTags}},"layers":{{json .RootFS.Layers}}}'
# What of the names there is: of several podman tells nothing when one is missing.
known() {
	for name in "$@"; do
		inspect "$name" 2>/dev/null || [ $? = 125 ] || return
	done
}
look() {
	machine
	ids=$(all) || return
	echo "overlay podman"
	echo "$token"
	[ -z "$ids" ] || inspect $ids
}
list() {
	ids=$(all) || return
	[ -z "$ids" ] || inspect $ids || return
	echo "$token"
	echo "$token"
	podman container ls -a --external --no-trunc --format '{{.ImageID}}'
}
# Names that begin with one of these, whatever host podman puts before them.
staging_names() { podman image ls --format '{{.Repository}}:{{.Tag}}' | grep -F -e "localhost$1" -e "$2"; }
sweep() {
	set +f
	for dir in "$folders"*; do
		pid=${dir#"$folders"}
		[ ! -d "$dir" ] || alive "${pid%%.*}" || rm -rf "$dir"
	done
	set -f
	for name in $(staging_names "$folders" "$staging"); do
		pid=${name#*"$folders"}
		pid=${pid#"$staging"}
		alive "${pid%%[.:]*}" || podman image rm "$name" >/dev/null
	done
}
import() {
	n=$1 i=0
	shift
	for move in "$@"; do
		mv "$folder/${move%%=*}" "$folder/blobs/sha256/${move#*=}" || return
	done
	while [ "$i" -lt "$n" ]; do
		ln -s ../blobs "$folder/$i/blobs" &&
			podman pull -q "oci:$folder/$i:$staging$$:$token-$i" >/dev/null || return
		i=$((i + 1))
	done
	rm -rf "$folder"
}
stage() {
	mkdir -p "$folder/blobs/sha256" || return
	said=$(frames | tar -x -f - -C "$folder" --no-same-owner 2>&1) && return
	case $said in
	# GNU tar's words for a disk that has become full
	*"Wrote only"*) echo "$folder: no space left on device" >&2 ;;
	*) echo "$said" | head -n 1 >&2 ;;
	esac
	return 1
}
take_back() {
	[ -n "$staged" ] || return 0
	rm -rf "$folder"
	names=$(staging_names "$folder/" "$staging$$:")
	[ -z "$names" ] || podman image rm $names >/dev/null
	staged=
}
serve
