# fish completion for sidelift.   SPDX-License-Identifier: Apache-2.0
# Commands, options and what takes a value are read from the program's own help, once.

# What a command's help says of its own options, or of the global ones: letter, name,
# value and text, between tabs.
function __sidelift_options
    sidelift $argv --help 2>/dev/null | string match -v 'Usage: *' |
        if set -q argv[1]
            sed '/^Global options/,$d'
        else
            cat
        end | string replace -rf '^  (?:-(.), |    )--([a-z-]+)(?: ([^ ]+))? +(.*)' '$1\t$2\t$3\t$4'
end

set -g __sidelift_valued
for line in (__sidelift_options)
    set -l part (string split \t -- $line)
    test -n "$part[3]"; and set -a __sidelift_valued --$part[2] (string replace -r '^(.)$' -- '-$1' "$part[1]")
end

function __sidelift_command
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word $__sidelift_valued
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end

function __sidelift_is
    test "$(__sidelift_command)" = "$argv[1]"
end

function __sidelift_images
    docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | string match -v '*<none>*'
end

function __sidelift_nodes
    sidelift context -o json 2>/dev/null | tr -d '\n' | grep -oE '"nodes": *\[.*' | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4
end

function __sidelift_held
    sidelift images -o json 2>/dev/null | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4 | sort -u
end

# How a value is completed: arguments for complete.
function __sidelift_value -a command option value
    switch $option
        case kube-context
            printf '%s\n' -x -a '(kubectl config get-contexts -o name 2>/dev/null)'
        case docker-context
            printf '%s\n' -x -a '(docker context ls -q 2>/dev/null)'
        case node
            printf '%s\n' -x -a '(__sidelift_nodes)'
        case image build build-command
            printf '%s\n' -x -a '(__sidelift_images)'
        case progress
            printf '%s\n' -x -a 'auto tty plain json none'
        case exporter
            printf '%s\n' -x -a 'store registry save'
        case importer
            printf '%s\n' -x -a 'direct import auto'
        case via
            printf '%s\n' -x -a registry
        case policy
            printf '%s\n' -x -a (test "$command" = rewrite; and echo 'Never IfNotPresent Always'; or echo 'Never IfNotPresent')
        case shell
            printf '%s\n' -x -a 'bash zsh fish powershell cmd tcsh emacs none'
        case '*'
            switch $value
                case FILE PATH
                    printf '%s\n' -r -F
                case DIR
                    printf '%s\n' -x -a '(__fish_complete_directories)'
                case '*'
                    printf '%s\n' -x -a (string match -q '*|*' -- $value; and string replace -a '|' ' ' -- $value; or echo '')
            end
    end
end

complete -c sidelift -f
for command in '' (sidelift --help 2>/dev/null | sed -nE '/^Commands:/,/^$/s/^  ([a-z-]+) .*/\1/p')
    for line in (__sidelift_options (string match -v '' -- $command))
        set -l part (string split \t -- $line)
        set -l how -l $part[2] -d $part[4]
        test -n "$command"; and set -a how -n "__sidelift_is $command"
        test -n "$part[1]"; and set -a how -s $part[1]
        test -n "$part[3]"; and set -a how (__sidelift_value "$command" $part[2] $part[3])
        complete -c sidelift $how
    end
end
complete -c sidelift -n '__sidelift_is ""' -a "(sidelift --help 2>/dev/null | sed -nE '/^Commands:/,/^\$/s/^  ([a-z-]+) +(.*)/\1\t\2/p')"
complete -c sidelift -n '__sidelift_is load' -a '(__sidelift_images)'
complete -c sidelift -n '__sidelift_is prune' -a '(__sidelift_held)'
complete -c sidelift -n '__sidelift_is rewrite' -F
