#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The man page and the help come from two hands: they must name the same options.

load helpers/common

commands() { "$SIDELIFT" --help | sed -n '/^Commands:/,/^$/p' | awk 'NF > 1 { print $1 }'; }

@test "every command and every option of its help is in the man page" {
	local command option missing=''
	for command in $(commands); do
		grep -q "^\.It Cm $command\b\|^\.Cm $command\$" "$ROOT/docs/sidelift.1" || missing+=" $command"
		for option in $("$SIDELIFT" "$command" --help | grep -oE '^ +(-., )? *--[a-z-]+' | grep -oE '[-]-[a-z-]+'); do
			grep -qE "Fl -${option#--}( |\$)" "$ROOT/docs/sidelift.1" || missing+=" $command:$option"
		done
	done
	echo "missing:$missing"
	[ -z "$missing" ]
	[ "$(commands | wc -l)" -ge 7 ]
}
