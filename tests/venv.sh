# To be sourced by tests in Python: installs what a file of requirements names, once and again when it changes, into a folder
# of the user's cache, and sets `cache`, `binaries` (the programs of the build folder, unless RIDEALONG_BINARIES names
# another) and `venv`.
#
#   source tests/venv.sh; python_of NAME REQUIREMENTS

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../target}/debug}

python_of() {
    venv=$cache/$1-venv
    local wanted
    wanted=$(sha256sum <"$2" | cut -d' ' -f1)
    if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
        rm -rf "$venv"
        mkdir -p "$cache"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$2"
        echo "$wanted" >"$venv/requirements.sha256"
    fi
    # No byte code beside the sources; nothing of the caller's Python.
    export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=''
}
