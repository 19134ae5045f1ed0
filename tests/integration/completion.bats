#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Completion in the real shells: commands, options, values, images, contexts.

load helpers/common

setup_file() {
	printf 'FROM scratch\nENV A=1\n' | docker build -q -t comp-image:dev - >/dev/null 2>&1
	# names that have been seen: of EKS, of OpenShift, and by hand
	cat >"$BATS_FILE_TMPDIR/config" <<-'K'
	apiVersion: v1
	kind: Config
	contexts:
	- {name: "arn:aws:eks:eu-1:12:cluster/dev", context: {cluster: a, user: a}}
	- {name: "default/api-host:6443/kube admin", context: {cluster: a, user: a}}
	- {name: "my ctx", context: {cluster: a, user: a}}
	- {name: "it's $HOME", context: {cluster: a, user: a}}
	K
}

teardown_file() { docker rmi -f comp-image:dev >/dev/null; }

setup() {
	PATH=$(dirname "$SIDELIFT"):$PATH
	export KUBECONFIG=$BATS_FILE_TMPDIR/config
}

BREAKS=$' \t\n"\'><=;|&(:' # bash's own COMP_WORDBREAKS

# What the shell offers for the line.
in_bash() {
	bash -c 'source "$0"; COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$2; _sidelift; printf "%s\n" "${COMPREPLY[@]}"' \
		"$ROOT/scripts/completion/sidelift.bash" "$1" "${2-$BREAKS}"
}

in_fish() { fish -c 'source $argv[1]; complete -C $argv[2]' "$ROOT/scripts/completion/sidelift.fish" "$1" | cut -f1; }

# What zsh would add, before it matches and lists.
in_zsh() {
	zsh -f -c '
		compset() { false }
		_wanted() { shift 3; "$@" }
		compadd() { print -rl -- ${(P)${@[-1]}} }
		_describe() { print -rl -- ${${(P)2}%%:*} }
		_files() { print files }
		words=(${(Q)${(z)2}}) CURRENT=$#words
		[[ $2 == *" " ]] && words+=("") CURRENT=$#words
		source $1 >/dev/null
		_sidelift' zsh "$ROOT/scripts/completion/_sidelift" "$1"
}

# What becomes of the line in the interactive shell when TAB is pressed.
typed_in() { # SHELL LINE
	local script=$ROOT/scripts/completion/sidelift.bash
	[ "$1" = bash ] || script=$ROOT/scripts/completion/_sidelift
	timeout 60 /usr/bin/python3 "$ROOT/tests/integration/helpers/typed.py" "$1" "$script" "$2"
}

# What a command's help has: the long options.
options_of() { "$SIDELIFT" $1 --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort; }

commands() { "$SIDELIFT" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | sort; }

offered() { # SHELL LINE
	"in_$1" "$2" | grep -v '^$' | sort
}

@test "every shell offers the commands of the help, and for each its options, and no others" {
	[ "$(commands | wc -l)" -ge 7 ]
	for shell in bash fish zsh; do
		diff <(commands) <(offered $shell 'sidelift ')
		diff <(options_of '') <(offered $shell 'sidelift --')
		for command in $(commands); do
			diff <(options_of "$command") <(offered $shell "sidelift $command --") || { echo "$shell: $command"; return 1; }
		done
	done
}

@test "every shell finds the command behind any global option with a value" {
	local valued
	valued=$("$SIDELIFT" --help | sed -nE 's/^  (-(.), |    )--([a-z-]+) [^ ]+ .*/--\3 -\2/p' | tr ' ' '\n' | grep -v '^-$')
	[ "$(wc -l <<<"$valued")" -ge 12 ]
	for shell in bash fish zsh; do
		for option in $valued; do
			[ "$(offered $shell "sidelift $option x load --exporter ")" = "$(printf '%s\n' registry save store)" ] || { echo "$shell: $option"; return 1; }
		done
	done
}

@test "the scripts name no option that the program does not know" {
	local known named
	known=$(for command in '' $(commands); do "$SIDELIFT" $command --help | sed -nE 's/^  (-., |    )--([a-z-]+) .*/\2/p'; done | sort -u)
	for script in sidelift.bash _sidelift; do
		named=$(grep -oE '^\s+--[a-z-]+( \| --[a-z-]+)*\)' "$ROOT/scripts/completion/$script" | grep -oE '[a-z][a-z-]+')
		[ "$(wc -l <<<"$named")" -ge 8 ]
		[ -z "$(sort <<<"$named" | comm -23 - <(echo "$known"))" ]
	done
	named=$(sed -n '/switch .option/,/case .\*/s/^ *case \([a-z].*\)/\1/p' "$ROOT/scripts/completion/sidelift.fish" | tr ' ' '\n')
	[ "$(wc -l <<<"$named")" -ge 8 ]
	[ -z "$(sort <<<"$named" | comm -23 - <(echo "$known"))" ]
}

@test "the values that are offered are those that the program takes, in every shell" {
	for which in "load x --exporter" "load x --importer" "load x --progress" "load x --output" "rewrite x --policy" "up -f x --policy" "docker-env --shell"; do
		values=$(offered bash "sidelift $which ")
		[ "$(wc -l <<<"$values")" -ge 2 ]
		diff <(echo "$values") <(offered fish "sidelift $which ")
		diff <(echo "$values") <(offered zsh "sidelift $which ")
		run --separate-stderr "$SIDELIFT" $which nonsense </dev/null
		[ "$status" = 2 ]
		[[ "$stderr" == *"nonsense"* ]]
		diff <(echo "$values") <(sed 's/.* is \(.*\), not .*/\1/; s/ or /, /; s/, /\n/g' <<<"$stderr" | sort)
	done
}

@test "contexts with blanks, slashes, colons and quotes" {
	for shell in bash zsh; do
		is_typed $shell 'sidelift --kube-context my' 'sidelift --kube-context my\ ctx '
		is_typed $shell 'sidelift --kube-context "my' 'sidelift --kube-context "my ctx" '
		is_typed $shell 'sidelift --kube-context arn:aw' 'sidelift --kube-context arn:aws:eks:eu-1:12:cluster/dev '
		is_typed $shell 'sidelift --kube-context=arn' 'sidelift --kube-context=arn:aws:eks:eu-1:12:cluster/dev '
		is_typed $shell 'sidelift --kube-context default/api-host:6443/' 'sidelift --kube-context default/api-host:6443/kube\ admin '
		is_typed $shell 'sidelift --kube-context it' "sidelift --kube-context it\\'s\\ \\\$HOME "
		is_typed $shell 'sidelift --kube-context my\ ctx rewr' 'sidelift --kube-context my\ ctx rewrite '
	done
	[ "$(in_fish 'sidelift --kube-context ' | sort)" = "$(kubectl config get-contexts -o name | sort)" ]
	[ "$(in_fish 'sidelift --kube-context default/api-host:6443/')" = "default/api-host:6443/kube admin" ]
	[ "$(in_fish 'sidelift --kube-context=my')" = "--kube-context=my ctx" ]
	[ "$(in_fish "sidelift --kube-context my\\ ctx rewr")" = rewrite ]
}

@test "images, files and folders in the interactive shells" {
	cd "$BATS_TEST_TMPDIR"
	mkdir folder
	touch manifest.yaml
	for shell in bash zsh; do
		is_typed $shell 'sidelift load comp-im' 'sidelift load comp-image:dev '
		is_typed $shell 'sidelift load comp-image:d' 'sidelift load comp-image:dev '
		is_typed $shell 'sidelift rewrite --image comp-im' 'sidelift rewrite --image comp-image:dev '
		is_typed $shell 'sidelift load --exporter=re' 'sidelift load --exporter=registry '
		is_typed $shell 'sidelift rewrite mani' 'sidelift rewrite manifest.yaml '
		is_typed $shell 'sidelift up -f mani' 'sidelift up -f manifest.yaml '
		is_typed $shell 'sidelift up -k fol' 'sidelift up -k folder/'
		is_typed $shell 'sidelift up --build app=fol' 'sidelift up --build app=folder/'
	done
	[[ "$(in_fish 'sidelift up -k fol')" == folder/* ]]
	[ "$(in_fish 'sidelift up -f mani')" = manifest.yaml ]
}

is_typed() { # SHELL LINE EXPECTED
	local line
	line=$(typed_in "$1" "$2")
	[ "$line" = "$3" ] || { printf '%s: <%s> became <%s>, not <%s>\n' "$1" "$2" "$line" "$3"; return 1; }
}

@test "bash" {
	[ "$(in_bash 'sidelift lo')" = load ]
	[[ "$(in_bash 'sidelift ')" == *up*docker-env*prune* ]]
	[ "$(in_bash 'sidelift load --exp')" = --exporter ]
	[ "$(in_bash 'sidelift load --exporter re')" = registry ]
	[ "$(in_bash 'sidelift --kube-context x rew')" = rewrite ]
	[ "$(in_bash 'sidelift load comp-im')" = comp-image:dev ]
	[ "$(in_bash 'sidelift load comp-image:d')" = dev ]
	[ "$(in_bash 'sidelift load comp-image:d' ' ')" = comp-image:dev ]
	[ -z "$(in_bash 'sidelift load no-such-')" ]
	[ "$(in_bash 'sidelift --docker-context defa')" = default ]
}

@test "fish" {
	[ "$(in_fish 'sidelift lo')" = load ]
	[[ "$(in_fish 'sidelift load --exp')" == *--exporter* ]]
	[ "$(in_fish 'sidelift load --exporter re')" = registry ]
	[ "$(in_fish 'sidelift load comp-im')" = comp-image:dev ]
	[ "$(in_fish 'sidelift --kube-context x rew')" = rewrite ]
}
