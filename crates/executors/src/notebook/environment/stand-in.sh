#!/bin/sh
# Stands in for python3, venv and pip in the tests. What it is asked to do is added to the file `calls`
# in the folder where it is linked to; files there named no-* take something away from it.
here=$(dirname "$0")
if [ -e "$here/stage" ]; then here=$(cat "$here/stage"); fi
case "$*" in
    *version_info*) echo "3.11 $0" ;;
    *ensurepip*)
        if [ -e "$here/no-ensurepip" ]; then
            echo "ModuleNotFoundError: No module named 'ensurepip'" >&2
            exit 1
        fi ;;
    "-m venv "*)
        echo venv >> "$here/calls"
        mkdir -p "$3/bin" && ln -s "$(readlink -f "$0")" "$3/bin/python" && echo "$here" > "$3/bin/stage" ;;
    "-m pip "*)
        echo pip >> "$here/calls"
        echo "Collecting nbclient"
        sleep 0.3
        if [ -e "$here/no-index" ]; then
            echo "ERROR: No matching distribution found for nbclient" >&2
            exit 1
        fi ;;
esac
