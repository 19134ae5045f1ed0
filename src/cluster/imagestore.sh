# What dockerd.sh and podman.sh have in common; it stands between node.sh and one of
# them, which has `client` and the functions that are not here.
#
# Commands (images are lines of JSON; names that are not there are left out):
#	look IMAGE...   facts; the CA; DRIVER STORE; the images asked for, or all; then by store
#	names IMAGE...  the images
#	list            all images; their sizes, where they do not tell; the IDs of those
#	                that containers use
#	version         the client's
#	sweep           remove what processes that are gone left
#	stage           take the archive in the following frames
#	import N FILE=HEX...  podman: name the files as the blobs that they are, and take
#	                the images of layouts 0 to N-1 over
#	tag IMAGE NAME...  pairs: make the name stand for the image
#	remove IMAGE... remove names, or images by ID
#	settle          remove our staging names: nothing is half done any more
staged=''
staging=sidelift.invalid/staging/p
inspect() { $client image inspect --format "$format" "$@"; }
all() { $client image ls -aq --no-trunc | sort -u; }
tag() {
	while [ $# -gt 1 ]; do
		$client image tag "${1#sha256:}" "$2" || return
		shift 2
	done
}
# An image that is gone already is as it should be.
remove() {
	for name in "$@"; do
		said=$($client image rm "${name#sha256:}" 2>&1 >/dev/null) || case $said in
		*"No such image"* | *"image not known"*) ;;
		*)
			echo "$said" >&2
			return 1 ;;
		esac
	done
	$client image ls -q >/dev/null || return
	left=$(known "$@")
	[ -z "$left" ] || { echo "still there: $left" >&2; return 1; }
}
run() {
	command=$1
	shift
	case $command in
	look) look "$@" ;;
	names) known "$@" ;;
	list) list ;;
	version) $client version --format "$client {{.Client.Version}}" ;;
	sweep) sweep ;;
	stage)
		staged=yes
		stage ;;
	import) import "$@" ;;
	tag) tag "$@" ;;
	remove) remove "$@" ;;
	settle) take_back ;;
	*)
		echo "unknown command $command" >&2
		return 2 ;;
	esac
}
