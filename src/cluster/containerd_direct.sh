# Layers straight into overlayfs snapshots, by the node's own tar; between node.sh
# and containerd.sh.
#
# Among the frames of an archive a line
#
#	layer SNAPSHOTTER KEY PARENT CHAIN MARKER
#
# says that a tar (image/overlay.h) follows in frames of its own, to be unpacked
# into the active snapshot KEY upon PARENT ("-": none) and committed as CHAIN.  What
# ctr makes is kept from the garbage collector by a label, which has to go when the
# image is there or will not be: a lease of this script's is the note of it, with
# the chain IDs that may be concerned as labels.
direct=sidelift-direct-p$$-$token
plan='' noted=''
# Why the direct way is not open here; "ok" when it is.
able() {
	read -r inside outside length </proc/self/uid_map
	if [ "$inside $outside $length" != "0 0 4294967295" ]; then
		echo "its containerd runs in a user namespace"
	elif ! tar --help 2>/dev/null | grep -q -e --xattrs-include; then
		echo "its tar is not GNU tar with extended attributes"
	else
		echo ok
	fi
}
note() {
	[ -z "$noted" ] || return 0
	c leases create --id "$direct" -x 0 $plan >/dev/null && noted=yes
}
# Where PATH is below ROOT, whose links lead nowhere else: $at.
within() { # ROOT PATH
	at='' rest=$2 links=0
	while [ -n "$rest" ]; do
		part=${rest%%/*}
		case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
		case $part in
		'' | .) ;;
		..) at=${at%/*} ;;
		*)
			if [ -L "$1$at/$part" ]; then
				links=$((links + 1))
				[ "$links" -le 255 ] || return
				target=$(readlink "$1$at/$part")
				case $target in /*) at='' ;; esac
				rest=$target/$rest
			else
				at=$at/$part
			fi ;;
		esac
	done
}
# Give the parents that the layer does not mention what the topmost layer below that
# has them says (containerd's mkparent).
parents() { # UPPER LOWER:LOWER... LIST
	given='|'
	tr '\0' '\n' <"$3" | while IFS= read -r path; do
		found=''
		IFS=:
		for lower in $2; do
			unset IFS
			within "$lower" "$path" || return
			[ -e "$lower$at" ] || continue
			[ ! -d "$lower$at" ] || found=$lower$at
			break
		done
		unset IFS
		case $path in
		*/)
			# attributes alone cannot be copied
			[ -z "$found" ] || ! tar -C "$found" -c -f - --no-recursion --xattrs --xattrs-exclude='trusted.*' . | grep -q -a SCHILY.xattr || {
				echo "directory $path has attributes in a layer below"
				return 1
			}
			continue ;;
		esac
		if [ -n "$found" ]; then
			tar -C "$found" -c -f - --no-recursion --numeric-owner --xattrs --xattrs-exclude='trusted.*' . |
				tar -C "$1/$path" -x -f - --numeric-owner -p --xattrs --xattrs-include='*' || return
			given="$given$path|"
		else
			# as mkdir does
			case $given in
			*"|${path%/*}|"*) [ ! -g "$1/${path%/*}" ] || chgrp --reference="$1/${path%/*}" "$1/$path" || return ;;
			esac
		fi
	done
}
# The tar in the frames into the snapshot's directory.  GNU tar ends well where its
# input is cut off between two members, and where it cannot set an attribute; it does
# not read what is behind the end.
unpack() { # UPPER LOWERS MARKER
	complaint=$(frames | {
		LC_ALL=C tar -C "$1" -x -f - -b 512 --numeric-owner -p --delay-directory-restore --xattrs --xattrs-include='*' \
			--warning=no-timestamp --warning=no-unknown-keyword 2>&1 && cat >/dev/null
	}) || return
	case $complaint in *xattr*) return 1 ;; esac
	[ -f "$1/$3" ] || { complaint="the layer was cut off"; return 1; }
	if [ -s "$1/$3" ]; then
		complaint=$(parents "$1" "$2" "$1/$3" 2>&1) || return
	fi
	rm "$1/$3"
}
layer() {
	snapshotter=$1 key=$2 parent=${3#-} chain=$4 marker=$5
	unset TAR_OPTIONS
	note || return
	mounts=$(c snapshots --snapshotter "$snapshotter" prepare -t /x "$key" $parent) || return
	upper=$(echo "$mounts" | sed -n 's/.*[ ,]upperdir=\([^, ]*\).*/\1/p; s/^mount -t bind \([^ ]*\) .*/\1/p')
	lowers=$(echo "$mounts" | sed -n 's/.*[ ,]lowerdir=\([^, ]*\).*/\1/p')
	complaint="its snapshots are mounted in a way that is not known: $mounts"
	case $mounts in *userxattr*) upper='' ;; esac
	if [ -d "$upper" ] && unpack "$upper" "$lowers" "$marker"; then
		complaint=$(c snapshots --snapshotter "$snapshotter" commit "$chain" "$key" 2>&1) && return
		# somebody else was faster
		c snapshots --snapshotter "$snapshotter" info "$chain" >/dev/null 2>&1 && c snapshots --snapshotter "$snapshotter" rm "$key" && return
	fi
	c snapshots --snapshotter "$snapshotter" rm "$key"
	case $complaint in
	*"No space left on device"*) echo "error: layer: no space left on device" >&2 ;;
	*) echo "error: layer: $(echo "$complaint" | tail -n 1)" >&2 ;;
	esac
	return 1
}
# The collector may have them again.
release() { # SNAPSHOTTER CHAIN...
	snapshotter=$1
	shift
	worst=0
	for chain in "$@"; do
		c snapshots --snapshotter "$snapshotter" label "$chain" containerd.io/gc.root= >/dev/null || worst=1
	done
	return "$worst"
}
# Take back what a script left, of whose lease this is the name.
retract() {
	note=$(c leases ls | grep "^$1 ") || return 0
	c snapshots --snapshotter overlayfs ls | grep "^$1" | while read -r key rest; do
		c snapshots --snapshotter overlayfs rm "$key"
	done
	for chain in $(echo "$note" | grep -o '[0-9a-f]\{64\}'); do
		release overlayfs "sha256:$chain"
	done
	c leases rm --sync "$1"
}
