# bash completion for sidelift.   SPDX-License-Identifier: Apache-2.0
# Commands and options are read from the program's own help.

_sidelift_options() { sidelift ${1:+"$1"} --help 2>/dev/null | grep -oE '^  (-[A-Za-z], |    )--[a-z-]+' | grep -oE -- '--[a-z-]+'; }

_sidelift_images() { docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep -v '<none>'; }

_sidelift_nodes() { sidelift context -o json 2>/dev/null | tr -d '\n' | grep -oE '"nodes": *\[.*' | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4; }

_sidelift_held() { sidelift images -o json 2>/dev/null | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4 | sort -u; }

_sidelift() {
	local current previous word command='' words='' i line=${COMP_LINE:0:COMP_POINT}
	# as words that blanks part: a colon in an image's name parts nothing
	local -a parts
	read -ra parts <<<"$line"
	[[ $line == *' ' ]] && parts+=('')
	current=${parts[${#parts[@]} - 1]}
	previous=${parts[${#parts[@]} - 2]}
	for ((i = 1; i < ${#parts[@]} - 1; i++)); do
		case ${parts[i]} in
		-p | -o | -f | -i | -n | -k | --docker-host | --docker-context | --node-engine | --kubeconfig | --kube-context | --cluster | --profile | --node | \
			--output | --progress | --timeout) ((i++)) ;;
		-*) ;;
		*)
			command=${parts[i]}
			break ;;
		esac
	done
	COMPREPLY=()
	case $previous in
	--kube-context) words=$(kubectl config get-contexts -o name 2>/dev/null) ;;
	--docker-context) words=$(docker context ls -q 2>/dev/null) ;;
	--node) words=$(_sidelift_nodes) ;;
	-o | --output) words='human json' ;;
	--progress) words='auto tty plain json none' ;;
	--exporter) words='store registry save' ;;
	--importer) words='direct import auto' ;;
	--via) words='registry' ;;
	--policy) words='Never IfNotPresent' ;;
	--shell) words='bash zsh fish powershell cmd tcsh emacs none' ;;
	--image) words=$(_sidelift_images) ;;
	--kubeconfig | -f | --filename | -i | --input | -k)
		compopt -o default 2>/dev/null
		return ;;
	*)
		case $current in
		-*) words=$(_sidelift_options "$command") ;;
		*)
			case $command in
			'') words=$(sidelift --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p') ;;
			load) words=$(_sidelift_images) ;;
			prune) words=$(_sidelift_held) ;;
			rewrite)
				compopt -o default 2>/dev/null
				return ;;
			esac ;;
		esac ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	# readline completes what is behind the last colon only
	if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
		word=${current%"${current##*:}"}
		COMPREPLY=("${COMPREPLY[@]#"$word"}")
	fi
}

complete -F _sidelift sidelift
