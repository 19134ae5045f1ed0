#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""surface.py help SIDELIFT | man FILE | mentions FILE

Every command and option, a line each: COMMAND (- for the global ones), letter, name and
whether it takes a value; as the program's help has them, or as the man page's lists.
mentions: every option that stands anywhere in the man page, and every command."""
import re
import subprocess
import sys


def of_help(sidelift):
    def run(*words):
        return subprocess.run([sidelift, *words, "--help"], capture_output=True, text=True, check=True).stdout

    def options(command, text):
        for line in text.splitlines():
            found = re.match(r"  (?:-(.), |    )--([a-z-]+)( [^ ]+)? ", line)
            if found:
                yield command, found[1] or "", found[2], "value" if found[3] else ""

    text = run()
    commands = re.findall(r"^  ([a-z-]+) ", re.search(r"^Commands:\n(.*?)\n\n", text, re.S | re.M)[1], re.M)
    yield from options("-", text)
    for command in commands:
        yield command, "", "", ""
        yield from options(command, run(command).split("\nGlobal options")[0])


def option_of(words):
    """`Fl i , Fl -input Ar file` as letter, name and whether it takes a value."""
    letter = re.search(r"Fl ([A-Za-z])\b", words)
    name = re.search(r"Fl -([a-z-]+)", words)
    return letter[1] if letter else "", name[1], "value" if " Ar " in words else ""


def of_man(path):
    where, depth, command = "", 0, "-"
    for line in open(path):
        if re.match(r"\.S[hs] ", line):
            where = line[4:].strip()
        depth += line.startswith(".Bl ") - line.startswith(".El")
        item = re.match(r"\.It (.*)", line)
        if where == "Commands" and item and depth == 1:
            command = re.match(r"Cm ([a-z-]+)", item[1])[1]
            yield command, "", "", ""
        elif where == "Commands" and item and item[1].startswith("Fl ") and depth == 2:
            yield command, *option_of(item[1])
        elif where == "Global options" and item:
            yield "-", *option_of(item[1])


def mentions(path):
    for line in open(path):
        if line.startswith("."):
            for dash, name in re.findall(r"\bFl (-?)([a-zA-Z][a-z-]*)", line):
                yield ("--" if dash else "-") + name
    synopsis = re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh ", open(path).read(), re.S | re.M)[1]
    yield from re.findall(r"^\.Cm ([a-z-]+)", synopsis, re.M)


if sys.argv[1] == "mentions":
    print("\n".join(sorted(set(mentions(sys.argv[2])))))
else:
    print("\n".join(sorted(" ".join(line) for line in (of_help if sys.argv[1] == "help" else of_man)(sys.argv[2]))))
