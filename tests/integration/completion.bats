#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Completion in the real shells: commands, options, values, images.

load helpers/common

setup_file() {
	printf 'FROM scratch\nENV A=1\n' | docker build -q -t comp-image:dev - >/dev/null 2>&1
}

teardown_file() { docker rmi -f comp-image:dev >/dev/null; }

setup() { PATH=$(dirname "$SIDELIFT"):$PATH; }

# What the shell offers for the line.
in_bash() {
	bash -c 'source "$0"; COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$2; _sidelift; printf "%s\n" "${COMPREPLY[@]}"' \
		"$ROOT/scripts/completion/sidelift.bash" "$1" "${2-:}"
}

in_fish() { fish -c 'source $argv[1]; complete -C $argv[2]' "$ROOT/scripts/completion/sidelift.fish" "$1" | cut -f1; }

# zsh has it only in a terminal: the line after a TAB, which completes what is unique.
in_zsh() {
	ZDOTDIR=$BATS_TEST_TMPDIR timeout 30 zsh -f -c '
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell "PS1=; RPS1=; unsetopt zle_bracketed_paste; stty -echo; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo rea""dy"
		zpty -r shell text "*ready*"
		zpty -w -n shell "$2"$'"'\\t'"'
		sleep 1
		zpty -w -n shell $'"'\\x01'"'"print -r -- DONE:"$'"'\\n'"'
		zpty -r shell text "*DONE:*"$'"'\\n'"'"*"
		print -r -- "$text"' zsh "$ROOT/scripts/completion" "$1" | tr -d '\r' | grep -a '^DONE:' | tail -1
}

@test "bash" {
	[ "$(in_bash 'sidelift lo')" = load ]
	[[ "$(in_bash 'sidelift ')" == *up*docker-env*prune* ]]
	[ "$(in_bash 'sidelift load --exp')" = --exporter ]
	[ "$(in_bash 'sidelift load --exporter re')" = registry ]
	[ "$(in_bash 'sidelift load --via re')" = registry ]
	[ "$(in_bash 'sidelift up --wat')" = --watch ]
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
	[ "$(in_fish 'sidelift load --via re')" = registry ]
	[ "$(in_fish 'sidelift load comp-im')" = comp-image:dev ]
	[ "$(in_fish 'sidelift --kube-context x rew')" = rewrite ]
}

@test "zsh" {
	[[ "$(in_zsh 'sidelift lo')" == *"sidelift load"* ]]
	[[ "$(in_zsh 'sidelift load --exporter re')" == *"--exporter registry"* ]]
	[[ "$(in_zsh 'sidelift load --via re')" == *"--via registry"* ]]
	[[ "$(in_zsh 'sidelift load comp-im')" == *"comp-image"*"dev"* ]]
}

@test "the fixed values are those that the program takes" {
	for way in store registry save; do
		run --separate-stderr "$SIDELIFT" load --exporter $way
		[[ "$stderr" != *"not '$way'"* ]]
	done
	for way in direct import auto; do
		run --separate-stderr "$SIDELIFT" load --importer $way
		[[ "$stderr" != *"not '$way'"* ]]
	done
	run --separate-stderr "$SIDELIFT" load --via registry
	[[ "$stderr" != *"not 'registry'"* ]]
	grep -q 'store registry save' "$ROOT/scripts/completion/sidelift.bash" "$ROOT/scripts/completion/_sidelift" "$ROOT/scripts/completion/sidelift.fish"
}
