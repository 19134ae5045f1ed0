# The node's side of a load into containerd; node.sh comes before it.
#
# Commands (sections of an answer are separated by a line "TOKEN"):
#	look SNAPSHOTTER all|some [FILTER...]  facts; the CA; containerd's configuration
#	                          file; the records that match a filter and their
#	                          manifests, or some; snapshots
#	config                    the configuration as containerd puts it together
#	version                   containerd's
#	records FILTER...         records and their manifests
#	contents FILTER           blobs and their labels
#	snapshots SNAPSHOTTER     committed snapshots: chain IDs
#	list SNAPSHOTTER          records; blobs and their labels; snapshots; what they use
#	plan LABEL...             for a note of direct unpacking; answers whether that way
#	                          is open (containerd_direct.sh)
#	stage SNAPSHOTTER NAME,...|ask
#	                          import the archive in the following frames, whose
#	                          names are staging names; the CRI plugin's records with
#	                          these names, or all that are there before, are left
#	                          alone should it be taken back
#	publish SNAPSHOTTER|- COMMAND ;; COMMAND...
#	                          import the archive in the following frames ("-": all of
#	                          it is unpacked), and do the commands meanwhile
#	label DIGEST KEY=VALUE... label a blob
#	untag NAME...             remove names
#	remove NAME...            remove images, with the CRI plugin's records of them
#	forget                    nothing is half done any more
#	release SNAPSHOTTER CHAIN... let the garbage collector have what nothing refers to
#	settled                   nothing of the direct way is to be taken back any more
#	gc                        collect garbage now
#	par COMMAND ;; COMMAND... several of them at once
#	check SNAPSHOTTER FILTER... records; snapshots
#	confirm SNAPSHOTTER FILTER... the same, after taking away the CRI plugin's mark from
#	                          the names: it stands there again once the plugin has
#	                          noticed what they stand for now
staged='' kept=''
staging=sidelift.invalid/staging/p$$:
settings='^ *\[|^ *imports|snapshotter|discard_unpacked_layers'
root=/var/lib/containerd
# k3s has a containerd of its own
[ -S /run/containerd/containerd.sock ] || [ ! -S /run/k3s/containerd/containerd.sock ] || {
	export CONTAINERD_ADDRESS=/run/k3s/containerd/containerd.sock
	root=/var/lib/rancher/k3s/agent/containerd
}
command -v ctr >/dev/null || ctr() { k3s ctr "$@"; }
c() { ctr -n k8s.io "$@"; }
# A blob that a record names; where the content store lies is mostly known, and then it
# takes no ctr.
content() {
	cat "$root/io.containerd.content.v1.content/blobs/sha256/${1#sha256:}" 2>/dev/null || c content get "$1"
}
# Deleting a lease synchronously is the way to have garbage collected that
# touches no image.
gc() {
	c leases create --id "sidelift-gc-p$$-$token" >/dev/null && c leases rm --sync "sidelift-gc-p$$-$token" >/dev/null
}
target() {
	c images ls "name==\"$1\"" 2>/dev/null | sed -n '2s/^[^ ]* *[^ ]* *\([^ ]*\).*/\1/p'
}
# The CRI plugin gives every image a second record, named by its config.
config_of() {
	content "$1" 2>/dev/null | tr -d '\n\t ' | sed -n 's/.*"config":{[^}]*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p'
}
# Remove staging names, and the CRI plugin's records of them unless they stood
# there before or another name has the same image.
remove() {
	doomed=
	for name in "$@"; do
		digest=$(target "$name")
		[ -n "$digest" ] || continue
		same=$(c images ls -q "target.digest==\"$digest\"")
		others=$(echo "$same" | grep -v '^sha256:' | grep -v -x -F "$(printf '%s\n' "$@")")
		doomed="$doomed $name"
		[ -z "$others" ] || continue
		for config in $(echo "$same" | grep '^sha256:') $(config_of "$digest"); do
			case " $kept $doomed " in *" $config "*) ;; *) doomed="$doomed $config" ;; esac
		done
	done
	[ -n "$doomed" ] || return 0
	# the CRI plugin may be about to add its record: more than once
	for try in 1 2 3 4 5; do
		c images rm --sync $doomed >/dev/null 2>&1
		sleep 0.1
	done
}
# Of staging names, those whose process is gone.
sweep() {
	for name in "$@"; do
		pid=${name##*/p}
		pid=${pid%%:*}
		alive "$pid" || remove "$name"
	done
}
par() {
	pids='' part=''
	for word in "$@" ";;"; do
		if [ "$word" = ";;" ]; then
			[ -n "$part" ] || continue
			run $part &
			pids="$pids $!"
			part=
		else
			part="$part $word"
		fi
	done
	worst=0
	for pid in $pids; do
		wait "$pid" || worst=$?
	done
	return "$worst"
}
digests() { sed 's/^[^ ]* *[^ ]* *\([^ ]*\).*/\1/' | sort -u; }
# Of the records in $1, the manifests that must be looked into: where a name and the
# CRI plugin's record of a config have the same one, that says enough; and where it
# has no record of the configs that are asked for, nothing else matters.
telling() {
	configs=$(echo "$1" | grep '^sha256:' | digests)
	[ -z "$configs" ] || { echo "$configs"; echo "$1" | sed 1d | grep -v '^sha256:' | digests; } | sort | uniq -u
}
# The listing of records $1, and manifests of theirs.
with_manifests() { # LISTING all|some
	echo "$1"
	if [ "$2" = all ]; then wanted=$(echo "$1" | sed 1d | digests); else wanted=$(telling "$1"); fi
	for digest in $wanted; do
		echo "$token"
		echo "$digest"
		content "$digest"
		echo
	done
}
records() { # FILTER...
	[ $# -gt 0 ] || return 0
	found=$(c images ls "$@") || return
	with_manifests "$found" all
}
# All is asked for at once: the listings wait in their pipes.
look() {
	snapshotter=$1 some=$2
	shift 2
	c snapshots --snapshotter "$snapshotter" ls | {
		exec 3<&0
		{ [ $# = 0 ] || c images ls "$@" && echo "$token"; } | {
			machine
			grep -s -h -E "$settings" /etc/containerd/config.toml || grep -s -E "$settings" /var/lib/rancher/k3s/agent/etc/containerd/config.toml
			echo "$token"
			found=$(cat)
			case $found in
			"$token") ;;
			*"$token") with_manifests "${found%?"$token"}" "$some" || exit ;;
			*) exit 1 ;;
			esac
		} || exit
		echo "$token snapshots"
		cat <&3
	}
}
run() {
	command=$1
	shift
	case $command in
	look) look "$@" ;;
	version) c version ;;
	records) records "$@" ;;
	contents) c content ls "$@" ;;
	snapshots) c snapshots --snapshotter "$1" ls ;;
	list)
		c images ls && echo "$token" && c content ls && echo "$token" &&
			c snapshots --snapshotter "$1" ls && echo "$token" && c snapshots --snapshotter "$1" usage -b ;;
	plan)
		plan=$*
		echo "direct=$(able)" ;;
	stage)
		case $2 in
		ask)
			names=$(c images ls -q) || return
			kept=$(echo "$names" | grep '^sha256:' | tr '\n' ' ') ;;
		*) kept=$(echo "$2" | tr , ' ') ;;
		esac
		staged=yes
		frames | c images import --snapshotter "$1" - ;;
	config) containerd config dump 2>/dev/null | grep -E "$settings" ;;
	publish)
		how="--snapshotter $1"
		[ "$1" != - ] || how=--no-unpack
		shift
		par "$@" &
		frames | c images import $how - >/dev/null || {
			status=$?
			wait
			return "$status"
		}
		wait $! ;;
	label) c content label "$@" >/dev/null ;;
	forget) staged= ;;
	remove)
		remove "$@"
		left=$(c images ls -q) || return
		left=$(echo "$left" | grep -x -F "$(printf '%s\n' "$@" $doomed)" | tr '\n' ' ')
		[ -z "$left" ] || { echo "still there: $left" >&2; return 1; } ;;
	untag) c images rm "$@" >/dev/null ;;
	release) release "$@" ;;
	settled) c leases rm "$direct" >/dev/null ;;
	gc) gc ;;
	par) par "$@" ;;
	confirm | check)
		snapshotter=$1
		shift
		[ "$command" = check ] || for filter in "$@"; do
			name=${filter#name==?}
			c images label "${name%?}" io.cri-containerd.image= >/dev/null || return
		done
		c snapshots --snapshotter "$snapshotter" ls | {
			c images ls "$@" || exit
			echo "$token"
			cat
		} ;;
	*)
		echo "unknown command $command" >&2
		return 2 ;;
	esac
}
take_back() {
	# shellcheck disable=SC2046
	[ -z "$staged" ] || { remove $(c images ls -q "name~=\"^$staging\""); retract "$direct"; gc; }
}
# Nobody waits any more: what scripts left that were killed.
afterwards() {
	for name in $(c leases ls -q | grep '^sidelift-'); do
		pid=${name#sidelift-*-p}
		alive "${pid%%-*}" || case $name in
		sidelift-direct-*) retract "$name" ;;
		*) c leases rm "$name" ;;
		esac
	done
	# shellcheck disable=SC2046
	sweep $(c images ls -q "name~=\"^sidelift[.]invalid/\"")
}
serve
