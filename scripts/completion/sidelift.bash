# bash completion for sidelift.   SPDX-License-Identifier: Apache-2.0
# Commands, options and what takes a value are read from the program's own help.

# The options of a command as "-f --filename PATH" or "--dry-run": letter, name, value.
_sidelift_options() {
	sidelift ${1:+"$1"} --help 2>/dev/null | sed -nE 's/^  (-(.), |    )--([a-z-]+)( [^ ]+)? .*/-\2 --\3\4/p' | sed 's/^- //'
}

# The value that option $2 of command $1 takes, as the help calls it.
_sidelift_value() { _sidelift_options "$1" | awk -v option="$2" '$NF !~ /^-/ { for (i = 1; i < NF; i++) if ($i == option) { print $NF; exit } }'; }

_sidelift_images() { docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep -v '<none>'; }

_sidelift_nodes() { sidelift context -o json 2>/dev/null | tr -d '\n' | grep -oE '"nodes": *\[.*' | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4; }

_sidelift_held() { sidelift images -o json 2>/dev/null | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4 | sort -u; }

# Split a line into parts as the shell would; quote is the one that is still open.
_sidelift_split() {
	local line=$1 word='' begun='' c i
	parts=() quote=''
	for ((i = 0; i < ${#line}; i++)); do
		c=${line:i:1}
		case $quote$c in
		"''" | '""') quote='' ;;
		"'"?) word+=$c ;;
		'"\' | '\')
			i=$((i + 1)) begun=yes
			word+=${line:i:1} ;;
		'"'?) word+=$c ;;
		"'" | '"') quote=$c begun=yes ;;
		[[:blank:]])
			[ -z "$begun" ] || parts+=("$word")
			word='' begun='' ;;
		*) word+=$c begun=yes ;;
		esac
	done
	parts+=("$word")
}

# What may stand at the value of option $2, which the help calls $3; one a line.
_sidelift_values() {
	case $2 in
	--kube-context) kubectl config get-contexts -o name 2>/dev/null ;;
	--docker-context) docker context ls -q 2>/dev/null ;;
	--node) _sidelift_nodes ;;
	--image | --build | --build-command) _sidelift_images ;;
	--progress) printf '%s\n' auto tty plain json none ;;
	--exporter) printf '%s\n' store registry save ;;
	--importer) printf '%s\n' direct import auto ;;
	--via) echo registry ;;
	--policy)
		printf '%s\n' Never IfNotPresent
		[ "$1" != rewrite ] || echo Always ;;
	--shell) printf '%s\n' bash zsh fish powershell cmd tcsh emacs none ;;
	*) [[ $3 != *'|'* ]] || tr '|' '\n' <<<"$3" ;;
	esac
}

_sidelift() {
	local current previous word found command='' value='' words='' quote i
	local -a parts
	# not COMP_WORDS: a colon in an image's name parts nothing
	_sidelift_split "${COMP_LINE:0:COMP_POINT}"
	current=${parts[${#parts[@]} - 1]}
	previous=${parts[${#parts[@]} - 2]}
	for ((i = 1; i < ${#parts[@]} - 1; i++)); do
		case ${parts[i]} in
		-*=*) ;;
		-*) [ -z "$(_sidelift_value '' "${parts[i]}")" ] || ((i++)) ;;
		*)
			command=${parts[i]}
			break ;;
		esac
	done
	if [[ $current == --*=* ]]; then
		previous=${current%%=*} current=${current#*=}
	fi
	[[ $previous != -* ]] || value=$(_sidelift_value "$command" "$previous")
	COMPREPLY=()
	case $value in
	FILE | PATH) compopt -o default 2>/dev/null ;;
	DIR) compopt -o dirnames 2>/dev/null ;;
	?*)
		if [[ $value == *=DIR && $current == *=* ]]; then
			compopt -o dirnames 2>/dev/null
		else
			words=$(_sidelift_values "$command" "$previous" "$value")
		fi ;;
	*)
		case $command,$current in
		*,-*) words=$(_sidelift_options "$command" | grep -oE -- '--[a-z-]+') ;;
		,*) words=$(sidelift --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p') ;;
		load,*) words=$(_sidelift_images) ;;
		prune,*) words=$(_sidelift_held) ;;
		rewrite,*) compopt -o default 2>/dev/null ;;
		esac ;;
	esac
	# readline completes what is behind the last colon only, except between quotes
	found=''
	[[ $quote || $COMP_WORDBREAKS != *:* || $current != *:* ]] || found=${current%"${current##*:}"}
	while IFS= read -r word; do
		[[ $word && $word == "$current"* ]] || continue
		word=${word#"$found"}
		[ -n "$quote" ] || printf -v word %q "$word"
		COMPREPLY+=("$word")
	done <<<"$words"
}

complete -F _sidelift sidelift
