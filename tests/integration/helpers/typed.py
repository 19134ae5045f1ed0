#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""typed.py bash|zsh SCRIPT LINE: what becomes of a line in the interactive shell, in a
terminal of its own, when TAB is pressed behind it."""
import os
import pty
import re
import select
import sys
import time

SHOW = "\x07"  # ^G
SETUP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "PS1=; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; source '%s'\n"
             "bind -x '\"\\C-g\": printf \"LINE:<%%s>\\n\" \"$READLINE_LINE\"'; echo rea\"\"dy\n"),
    "zsh": (["zsh", "-f", "-i"],
            "PS1= RPS1= PROMPT_EOL_MARK=; unsetopt zle_bracketed_paste beep; fpath=(${${:-%s}:h} $fpath); autoload -Uz compinit; compinit -u -D\n"
            "show() { print -r -- \"LINE:<$BUFFER>\" }; zle -N show; bindkey '^G' show; echo rea\"\"dy\n"),
}


def wait(terminal, pattern, limit=30):
    text, until = "", time.monotonic() + limit
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
            found = re.search(pattern, text, re.S)
            if found:
                return found
    sys.exit(f"nothing like {pattern} in {text!r}")


def main():
    shell, script, line = sys.argv[1:]
    words, setup = SETUP[shell]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", COLUMNS="300", ZDOTDIR="/nonexistent")
        os.execvp(words[0], words)
    os.write(terminal, b"stty cols 300 -echo\n")
    os.write(terminal, (setup % script).encode())
    wait(terminal, "ready\r?\n")
    os.write(terminal, line.encode() + b"\t")
    time.sleep(0.3)
    os.write(terminal, SHOW.encode())
    print(wait(terminal, r"LINE:<(.*?)>\r?\n")[1])
    os.close(terminal)
    os.waitpid(pid, 0)


main()
