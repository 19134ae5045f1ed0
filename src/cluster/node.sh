# What the scripts that run in a node have in common; one of them follows, and ends
# with `serve`.  sidelift runs them as
#
#	sh -c SCRIPT sidelift TOKEN CA-FILE
#
# with one command a line on standard input.  Words hold no blanks, quotes or
# wildcards; the caller sees to that.  Each answer ends, on standard output and
# on standard error, with a line "TOKEN EXIT-CODE"; sections of an answer are
# separated by a line "TOKEN".  A command behind "quietly" has no answer, for at the
# end nobody reads any more, and an engine that cannot pass an answer on drops what is
# left of the input as well (dockerd 20.10).  The command "bye" ends it all well.  When
# the input ends without it, whatever stopped sidelift, or when an import fails, the
# script takes back what is half done and ends.
#
# A frame is a line with a number of bytes, and the bytes; with "z" before the
# number they are gzipped; 0 ends the frames.  Where the script that follows has a
# function `layer`, a line "layer WORD..." between two frames calls it.
#
# The script that follows has the functions `run COMMAND WORD...` and `take_back`.
set -f
token=$1 ca=$2
frames() {
	while IFS= read -r n; do
		case $n in
		layer\ *) $n >&2 || return ;;
		z*) dd bs=262144 iflag=count_bytes,fullblock count="${n#z}" status=none | gzip -dc || return ;;
		0 | *[!0-9]*) return ;;
		*) dd bs=262144 iflag=count_bytes,fullblock count="$n" status=none || return ;;
		esac
	done
}
# Is the sidelift script with this process ID still at work here?
alive() { grep -q sidelift "/proc/$1/cmdline" 2>/dev/null; }
machine() {
	echo "pid=$$"
	echo "arch=$(uname -m)"
	dd if=/dev/null iflag=count_bytes,fullblock count=0 status=none 2>/dev/null && echo "dd=ok"
	echo "$token"
	cat "$ca" 2>/dev/null
	echo "$token"
}
# What is to be done after the end, when nobody waits any more.
afterwards() { :; }
serve() {
	while IFS= read -r line; do
		case $line in
		bye)
			exec >/dev/null 2>&1
			afterwards
			exit 0 ;;
		quietly\ *)
			run ${line#quietly } >/dev/null 2>&1
			continue ;;
		esac
		run $line
		rc=$?
		printf '\n%s %d\n' "$token" "$rc"
		printf '\n%s %d\n' "$token" "$rc" >&2
		# what is left of the frames of a failed import must never be read as commands
		case $rc:$line in
		0:*) ;;
		*:stage* | *:publish*) break ;;
		esac
	done
	exec >/dev/null 2>&1
	take_back
}
