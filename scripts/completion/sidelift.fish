# fish completion for sidelift.   SPDX-License-Identifier: Apache-2.0
# Commands and options are read from the program's own help.

function __sidelift_command
    set -l valued -p -o -f -i -n -k --docker-host --docker-context --node-engine --kubeconfig --kube-context --cluster --profile --node --output --progress --timeout
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word $valued
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

function __sidelift_options
    sidelift (__sidelift_command) --help 2>/dev/null | string replace -rf '^  (?:-[A-Za-z], |    )(--[a-z-]+)(?: [A-Za-z|]+)? +(.*)' '$1\t$2'
end

function __sidelift_images
    docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | string match -v '*<none>*'
end

function __sidelift_nodes
    sidelift context -o json 2>/dev/null | tr -d '\n' | grep -oE '"nodes": *\[.*' | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4
end

complete -c sidelift -f
complete -c sidelift -n '__sidelift_is ""' -a "(sidelift --help 2>/dev/null | sed -nE '/^Commands:/,/^\$/s/^  ([a-z-]+) +(.*)/\1\t\2/p')"
complete -c sidelift -n 'string match -q -- "-*" (commandline -ct)' -a '(__sidelift_options)'
complete -c sidelift -n '__sidelift_is load' -a '(__sidelift_images)'
complete -c sidelift -n '__sidelift_is prune' -a "(sidelift images -o json 2>/dev/null | grep -oE '\"name\": *\"[^\"]*\"' | cut -d'\"' -f4 | sort -u)"
complete -c sidelift -n '__sidelift_is rewrite' -F
complete -c sidelift -l kube-context -x -a '(kubectl config get-contexts -o name 2>/dev/null)'
complete -c sidelift -l docker-context -x -a '(docker context ls -q 2>/dev/null)'
complete -c sidelift -l node -x -a '(__sidelift_nodes)'
complete -c sidelift -s o -l output -x -a 'human json'
complete -c sidelift -l progress -x -a 'auto tty plain json none'
complete -c sidelift -l exporter -x -a 'store registry save'
complete -c sidelift -l importer -x -a 'direct import auto'
complete -c sidelift -l via -x -a 'registry'
complete -c sidelift -l policy -x -a 'Never IfNotPresent'
complete -c sidelift -l shell -x -a 'bash zsh fish powershell cmd tcsh emacs none'
complete -c sidelift -l image -x -a '(__sidelift_images)'
complete -c sidelift -l kubeconfig -r -F
complete -c sidelift -s f -l filename -r -F
complete -c sidelift -s i -l input -r -F
