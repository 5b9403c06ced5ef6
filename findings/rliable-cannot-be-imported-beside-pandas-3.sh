#!/usr/bin/env bash
# rliable 1.2.0: a fresh `pip install rliable` cannot be imported.
#
# It allows any pandas from 1.0 on and takes arch 7.2.0, which allows any from 1.4 on but uses
# pandas' private deprecate_kwarg without an argument that pandas 3 demands. With pandas 2.3.3
# it works.
#
# Seen: TypeError: deprecate_kwarg() missing 1 required positional argument: 'new_arg_name'.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rliable==1.2.0 arch==7.2.0 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
try:
    import rliable.library
except TypeError as error:
    print("TypeError:", error)
    assert "deprecate_kwarg() missing 1 required positional argument" in str(error)
else:
    raise SystemExit("imported")
PYTHON
"$folder/venv/bin/pip" install -q pandas==2.3.3
"$folder/venv/bin/python" -c 'import rliable.library; print("pandas 2.3.3: imported")'
