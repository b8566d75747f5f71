"""Values of the description's own formats: what no schema can say, such as which texts are SQL."""

import base64
import json

import schemathesis
from hypothesis import strategies as st


def cursor(micros, identifier):
    return base64.urlsafe_b64encode(f"{micros} {identifier}".encode()).decode().rstrip("=")


STATEMENTS = [
    "SELECT 1 AS one",
    "SELECT event_type, count(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC",
    "SELECT * FROM events ORDER BY timestamp DESC LIMIT 10",
    "SELECT properties->>'amount' AS amount FROM events WHERE user_id = 'user-1'",
    "SELECT date_trunc('day', timestamp) AS day, count(distinct user_id) AS users FROM events GROUP BY 1",
    "SELECT * FROM users",
    "SELECT * FROM sessions",
    "SELECT * FROM system.ledger",
    "EXPLAIN SELECT * FROM requests",
]
CURSORS = st.builds(cursor, st.integers(-(10**15), 10**16), st.uuids())
FORMATS = {
    "sql": st.sampled_from(STATEMENTS),
    "sql-condition": st.sampled_from(["false", "timestamp < '1990-01-01'", "event_id IS NULL"]),
    "segment-condition": st.sampled_from(["event_count >= 100", "country = 'NL'", "event_count > 3 AND platform IS NULL"]),
    "cursor": CURSORS,
    "metric-list": st.lists(st.sampled_from(["event_count", "latency_p95", "error_rate"]), min_size=1, max_size=3, unique=True).map(",".join),
    "metric": st.sampled_from(["event_count", "unique_users", "request_count", "error_rate", "latency_p95"]),
    "column": st.sampled_from(["source", "event_type", "environment", "service", "route"]),
    "operator": st.sampled_from(["=", "!=", "in", "not_in", "<", ">=", "contains", "starts_with", "exists"]),
    "moment": st.sampled_from(["now", "now-1h", "now-30d", "2026-11-01T00:00:00Z", "2026-11-21T12:00:00+01:00"]),
    "push-interval": st.sampled_from(["100ms", "1s", "60s"]),
    "event-mark": st.just("0"),
    "duration-to-a-day": st.builds(lambda count, unit: f"{count}{unit}", st.integers(1, 24), st.sampled_from(["s", "m", "h"])),
    "age": st.builds(lambda days: f"{days}d", st.integers(1, 4_000)),
}
for name, values in FORMATS.items():
    schemathesis.openapi.format(name, values)


@schemathesis.serializer("application/vnd.ridealong.batch")
def batch(_, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()
