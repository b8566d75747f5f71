#!/usr/bin/env bash
# Runs every check and every test, and ends with the counts. Fails when anything fails.
#
#   tests/run.sh            all of it: some 15 minutes on two cores with a warm target folder, under an hour from empty
#   tests/run.sh --quick    format, lints, unit tests and the spine; no readers, fuzzing, nginx, or supply chain
#   tests/run.sh --long     the same as without, with the long crash proof (120 kills), the long run of 10 million rows
#                           (some 10 minutes), 10,000 commits to a table (as long), nginx for 30 s, and a million
#                           requests against closing connections
#
# It installs what it needs: nginx and wrk (Debian), cargo-deny and cargo-nextest (crates.io), readers of Delta tables
#, an S3-compatible server and DuckDB (PyPI, into folders of their own). Build products go to $CARGO_TARGET_DIR, by default a folder in the user's cache.
set -uo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/ridealong"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
export PATH="$cache/tools/bin:$PATH"
mode="${1:-}"
case "$mode" in "" | --quick | --long) ;; *) sed -n '2,12p' "$0"; exit 2 ;; esac

passed=0 failed=0 skipped=0
started=$SECONDS

# step NAME COMMAND…: runs a check, says how long it took, and counts it as one.
step() {
    local name="$1" begun=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
        printf -- '-- %s: passed in %s s\n' "$name" $((SECONDS - begun))
    else
        failed=$((failed + 1))
        printf -- '-- %s: FAILED after %s s\n' "$name" $((SECONDS - begun))
    fi
}

# counted NAME COMMAND…: the same for a test runner; its own counts are added instead.
counted() {
    local name="$1" begun=$SECONDS log status
    shift
    log=$(mktemp)
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    local line p f s
    # nextest: "Summary [ 1.2s] 9 tests run: 8 passed, 1 failed, 2 skipped"; ours: "8 passed, 1 failed".
    line=$(grep -E '[0-9]+ passed' "$log" | tail -1)
    p=$(grep -oE '[0-9]+ passed' <<<"$line" | head -1 | cut -d' ' -f1)
    f=$(grep -oE '[0-9]+ failed' <<<"$line" | head -1 | cut -d' ' -f1)
    s=$(grep -oE '[0-9]+ skipped' <<<"$line" | head -1 | cut -d' ' -f1)
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
    if [ "$status" -ne 0 ] && [ "${f:-0}" -eq 0 ]; then failed=$((failed + 1)); fi
    if [ "$status" -eq 0 ] && [ "${p:-0}" -eq 0 ]; then
        printf 'no test was executed\n'
        failed=$((failed + 1))
    fi
    rm -f "$log"
    printf -- '-- %s: exit %s after %s s\n' "$name" "$status" $((SECONDS - begun))
}

need_debian() {
    local missing=() pair
    for pair in "$@"; do command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}"); done
    [ ${#missing[@]} -eq 0 ] && return 0
    printf 'installing %s\n' "${missing[*]}"
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        printf 'please install these Debian packages: %s\n' "${missing[*]}" >&2
        return 1
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

need_cargo_tool() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    printf 'installing cargo-%s %s\n' "$1" "$2"
    CARGO_TARGET_DIR="$cache/tools-target" cargo install "cargo-$1" --version "$2" --locked --debug --root "$cache/tools"
}

# Every set of features below the engine that a part asks for must be one that the whole asks for, or Cargo builds the
# engine twice: see aggregator/engine/Cargo.toml.
same_features() {
    tree() { cargo tree --locked "$@" -e normal,build --prefix none -f '{p} | {f}' | sed 's/ (\*)$//' | sort -u; }
    local whole part difference bad=0
    whole=$(mktemp) part=$(mktemp)
    tree --workspace >"$whole" || return 1
    for package in ridealong-lake ridealong-query ridealong-aggregator; do
        tree -p "$package" >"$part" || return 1
        difference=$(comm -13 "$whole" "$part")
        if [ -n "$difference" ]; then
            printf '%s asks for other features than the workspace:\n%s\n' "$package" "$difference"
            bad=1
        fi
    done
    rm -f "$whole" "$part"
    return $bad
}

# The advisory database lies on a public git host. Where that cannot be reached, a copy at hand is used; without one this
# says so, and the rest still holds.
supply_chain() {
    cargo deny --all-features --log-level error check --hide-inclusion-graph bans licenses sources || return 1
    if ! timeout 90 cargo deny --log-level error fetch db >/dev/null 2>&1; then
        if ! compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/crates" >/dev/null; then
            printf 'advisories NOT CHECKED: their database cannot be reached from here\n'
            return 0
        fi
        printf 'advisories: checked with the copy of their database at hand\n'
    fi
    cargo deny --offline --log-level error check --hide-inclusion-graph advisories
}

need_debian cc=gcc g++=g++ || exit 1
if [ "$mode" != --quick ]; then
    need_debian nginx=nginx-light wrk=wrk python3=python3 node=nodejs npm=npm gunicorn=gunicorn h2load=nghttp2-client \
        slowhttptest=slowhttptest curl=curl strace=strace || exit 1
    need_cargo_tool deny 0.20.2 || exit 1
fi
need_cargo_tool nextest 0.9.143 || exit 1

step "format" cargo fmt --all --check
step "same features everywhere" same_features
step "lints" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step "build" cargo build --workspace --locked
closing_requests=20000
if [ "$mode" = --long ]; then
    export RIDEALONG_CRASH_KILLS=120 RIDEALONG_WRK_SECONDS=30 RIDEALONG_LONG_EVENTS=10000000 RIDEALONG_LOOKS=5000
    export RIDEALONG_SOAK_COMMITS=10000
    closing_requests=1000000
fi
if [ "$mode" != --quick ]; then step "S3 server for tests" ./tests/e2e/moto/install.sh; fi
if [ "$mode" = --quick ]; then
    counted "tests" cargo nextest run --workspace --locked --no-fail-fast \
        -E 'not package(ridealong-e2e) or binary(spine)'
else
    counted "tests" cargo nextest run --workspace --locked --no-fail-fast
    counted "other readers of the tables" ./tests/readers/run.sh
    counted "the same answers as DuckDB" ./tests/differential/run.sh
    counted "real clients" ./tests/clients/run.sh
    counted "the API as described" ./tests/api/run.sh
    counted "closing connections" ./tests/load/keepalive.sh "$closing_requests"
    counted "fuzzing the decoders" ./tests/fuzz/run.sh "${RIDEALONG_FUZZ_SECONDS:-60}"
    step "quickstart" ./packaging/quickstart.sh --once
    step "supply chain" supply_chain
fi

printf '\nall of it took %s s\n' $((SECONDS - started))
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
