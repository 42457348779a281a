#!/bin/sh
# Stands in for python3, venv and pip in the tests. What it is asked to do is added to the file `calls`
# in the folder where it is linked to; files there named no-* take something away from it.
here=$(dirname "$0")
if [ -e "$here/stage" ]; then here=$(cat "$here/stage"); fi
case "$*" in
    *version_info*) python3 "$@" | sed "s#\"executable\": \"[^\"]*\"#\"executable\": \"$0\"#" ;;
    # The program that builds is a real one.
    "-I "*/build.py) PATH=${PATH#"$here":} exec python3 "$@" ;;
    *ensurepip*)
        if [ -e "$here/no-ensurepip" ]; then
            echo "ModuleNotFoundError: No module named 'ensurepip'" >&2
            exit 1
        fi ;;
    "-m venv "*)
        echo venv >> "$here/calls"
        mkdir -p "$3/bin" && ln -s "$(readlink -f "$0")" "$3/bin/python" && echo "$here" > "$3/bin/stage"
        echo > "$3/pyvenv.cfg" ;;
    "-m pip "*)
        echo pip >> "$here/calls"
        echo "Collecting nbclient"
        sleep 0.3
        case "$*" in */packages.txt*)
            if [ -e "$here/no-packages" ]; then
                echo "ERROR: No matching distribution found for nosuch==9" >&2
                exit 1
            fi
            if [ -e "$here/no-end" ]; then sleep 60; fi
            if [ -e "$here/no-room" ]; then head -c 8000000 /dev/urandom > "$HOME/large"; sleep 60; fi ;;
        esac
        if [ -e "$here/no-index" ]; then
            echo "ERROR: No matching distribution found for nbclient" >&2
            exit 1
        fi ;;
esac
