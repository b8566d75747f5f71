#!/usr/bin/env bash
# Compares the agent's proxy with nginx and haproxy on this machine, in one run: all time or log every request.
#
#   tests/load/proxy.sh [OPTIONS OF proxybench.py run]      for example --rounds 1 --duration 4 --conns 64 --bodies 1024 --rt
#
# Starts an aggregator and an agent that really delivers to it, pins the agent like every other proxy, and proves at the
# end that SQL finds every request of the agent exactly once. Debian packages: nginx-light haproxy wrk gcc python3.
# RIDEALONG_BINARIES names the folder of the programs; AGENT_OPTIONS adds options to the agent, "--threads 1" if unset.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
agent_options=${AGENT_OPTIONS---threads 1}
# The kit gives its own proxies the ports after the backend's.
backend=18080 proxy=18180 api=18181 aggregator=18182
for tool in nginx haproxy wrk gcc python3 curl; do
    command -v "$tool" >/dev/null || { echo "proxy.sh needs $tool: apt-get install nginx-light haproxy wrk gcc python3 curl" >&2; exit 2; }
done

python3 "$here/startup.py" --agent "$binaries/ridealong-agent"

work=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# The load's processor, so that the agent has one for itself, as every proxy here.
taskset -c 0 "$binaries/ridealong-aggregator" serve --data "$work/data" --listen "127.0.0.1:$aggregator" \
    >"$work/aggregator.out" 2>&1 &
pids+=($!)
ready() {
    for _ in $(seq 100); do
        if curl -sf -o "$work/ready" "$1"; then return; fi
        sleep 0.1
    done
    echo "no answer from $1" >&2; cat "$work"/*.out >&2; exit 1
}
ready "http://127.0.0.1:$aggregator/readyz"
# shellcheck disable=SC2086  # the options are words
"$binaries/ridealong-agent" run --service bench --upstream "http://127.0.0.1:$backend" --listen "127.0.0.1:$proxy" \
    --api-listen "127.0.0.1:$api" --aggregator "http://127.0.0.1:$aggregator" --spool "$work/spool" $agent_options \
    >"$work/agent.out" 2>&1 &
agent=$!
pids+=("$agent")
ready "http://127.0.0.1:$api/healthz"

python3 "$here/proxybench.py" run --targets nginx,haproxy --backend-port "$backend" \
    --proxy "agent http://127.0.0.1:$proxy $agent" \
    --counter "agent sql:http://127.0.0.1:$aggregator select count(*) as n from requests" --json "$work/result.json" "$@" &
kit=$!
pids+=("$kit")
# In the background, so that a signal ends it too.
wait "$kit"

# What the agent has seen, and what has arrived: a request that was not timed would make its numbers worthless.
curl -sf -X POST "http://127.0.0.1:$api/api/analytics/flush" -o "$work/flushed"
curl -sf "http://127.0.0.1:$aggregator/api/analytics/query" -o "$work/answer" \
    -d '{"sql":"select count(*) as n, count(distinct event_id) as ids from requests where service = '"'bench'"'","timeoutMs":30000}'
curl -sf "http://127.0.0.1:$api/api/analytics/stats" -o "$work/stats"
python3 "$here/proxy_ratios.py" "$work"
