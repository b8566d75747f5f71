#!/usr/bin/env bash
# Builds the fuzz targets with coverage on the stable compiler, and runs all of them at once.
#
#   tests/fuzz/run.sh [SECONDS]      60 unless told; the last line says how many targets passed
#
# The corpus grows from run to run in the build folder. An input that fails a target is kept outside the tree and its
# path printed; `BINARY PATH` runs it again.
set -euo pipefail

seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
build=${CARGO_TARGET_DIR:-$cache/target}/fuzz
corpus=$cache/fuzz/corpus
artifacts=$cache/fuzz/artifacts
logs=$build/logs
targets=(frame chunk block sketch http1)

# What cargo-fuzz passes, without its sanitizer: that alone needs a nightly compiler, coverage does not. With --target,
# flags reach no build script.
host=$(cd "$here" && rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
(cd "$here" && CARGO_TARGET_DIR=$build cargo build --quiet --locked --bins --target "$host")
binaries=$build/$host/debug

mkdir -p "$artifacts" "$logs"
pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; }
trap stop EXIT INT TERM
for target in "${targets[@]}"; do
    mkdir -p "$corpus/$target"
    "$binaries/$target" --seeds="$build/seeds/$target" 2>"$logs/$target.log"
    "$binaries/$target" "$corpus/$target" "$build/seeds/$target" -max_total_time="$seconds" -max_len=65536 \
        -timeout=10 -rss_limit_mb=512 -use_value_profile=1 -print_final_stats=1 \
        -artifact_prefix="$artifacts/$target-" >"$logs/$target.log" 2>&1 &
    pids+=($!)
done

passed=0 failed=0
printf '%-8s %12s %10s %10s %10s %8s  %s\n' target runs runs/s coverage corpus 'RSS MiB' result
for at in "${!targets[@]}"; do
    target=${targets[$at]} log=$logs/${targets[$at]}.log result=passed
    if wait "${pids[$at]}"; then passed=$((passed + 1)); else failed=$((failed + 1)) result=FAILED; fi
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    coverage=$(grep -aoE ' cov: [0-9]+' "$log" | tail -1 | grep -oE '[0-9]+' || true)
    inputs=$(find "$corpus/$target" -type f | wc -l)
    printf '%-8s %12s %10s %10s %10s %8s  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$coverage" "$inputs" "$(stat peak_rss_mb)" "$result"
    if [ "$result" = FAILED ]; then
        grep -aE 'panicked|ERROR|Test unit written|assertion|left:|right:|memory, at most' "$log" | head -8 || true
    fi
done
pids=()
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
