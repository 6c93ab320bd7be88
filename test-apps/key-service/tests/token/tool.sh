#!/bin/sh
# OpenSC's pkcs11-tool, for tests: notes in the file LOG when one starts (`+`, with its arguments) and ends (`-`), and
# hangs while there is a file HANG. Where there is a file RIVAL, somebody else makes the same key pair first, once.
echo "+ $*" >>"$LOG"
if [ -e "$HANG" ]; then
    exec tail -f /dev/null
fi
case "$*" in
*--keypairgen*)
    if [ -e "$RIVAL" ]; then
        rm "$RIVAL"
        pkcs11-tool "$@" --id=00 </dev/null || exit 99
    fi
    ;;
esac
pkcs11-tool "$@"
code=$?
echo "-" >>"$LOG"
exit $code
