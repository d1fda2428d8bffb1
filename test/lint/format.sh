#!/usr/bin/env bash
# The C sources look as pgindent leaves them.  VS_TYPEDEFS lists the types.
exec perl "$(dirname "$0")/../pgindent.pl" --check "${VS_TYPEDEFS:?}" "$1/src"
