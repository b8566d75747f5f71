"""What is asked. A statement is a text for both engines, or one each with why they must be written apart.

Both follow PostgreSQL where it says something; where it is silent, or where one of them leaves it, there are two texts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    ours: str
    theirs: str
    why: str = ""
    # Of a sketch's answers: how far from the true value, as a part of it.
    within: float = 1e-9


def both(*texts):
    return [Statement(text, text) for text in texts]


def apart(why, *pairs):
    return [Statement(ours, theirs, why) for ours, theirs in pairs]


def percentiles(rows, values, group, order):
    """Ours is within 1 % of the value of its rank, counted from 0 and rounded down; theirs is that value."""
    made = []
    for part in (0.0, 0.5, 0.9, 0.99, 1.0):
        rank = f"list_sort(list({values}))[1 + CAST(floor({part} * (count({values}) - 1)) AS BIGINT)]"
        made.append(
            Statement(
                f"SELECT {group} AS k, percentile({part}, {values}) AS p FROM {rows} GROUP BY 1 ORDER BY {order}",
                f"SELECT {group} AS k, CAST({rank} AS DOUBLE) AS p FROM {rows} GROUP BY 1 ORDER BY {order}",
                "a sketch's percentile has no counterpart",
                0.0101,
            )
        )
    return made


N = "CAST(properties->>'n' AS BIGINT)"
PRICE = "CAST(properties->>'price' AS DOUBLE)"
ALL = "event_id, timestamp, source, version, environment, event_type, event_category, user_id, session_id, properties, platform, country, latitude, longitude, referrer"

AGGREGATES = both(
    "SELECT count(*) AS n FROM events",
    "SELECT count(*) AS n, count(user_id) AS u, count(DISTINCT user_id) AS d, count(country) AS c FROM events",
    "SELECT min(timestamp) AS a, max(timestamp) AS b, min(user_id) AS c, max(user_id) AS d FROM events",
    "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY n DESC, event_type",
    "SELECT event_type, country, count(*) AS n FROM events GROUP BY event_type, country ORDER BY 1, 2 NULLS LAST",
    "SELECT country, avg(latitude) AS a, sum(longitude) AS s, min(latitude) AS l, max(latitude) AS h FROM events GROUP BY 1",
    f"SELECT sum({N}) AS s, min({N}) AS a, max({N}) AS b, avg({N}) AS m FROM events",
    f"SELECT platform, sum({PRICE}) AS s FROM events GROUP BY platform HAVING sum({PRICE}) > 100 ORDER BY s DESC",
    "SELECT count(*) FILTER (WHERE country = 'CH') AS ch, count(*) FILTER (WHERE country IS NULL) AS none FROM events",
    "SELECT stddev_samp(latitude) AS a, var_samp(latitude) AS b, stddev_pop(latitude) AS c, var_pop(latitude) AS d FROM events",
    "SELECT corr(latitude, longitude) AS c, covar_pop(latitude, longitude) AS d FROM events",
    "SELECT bool_and(country = 'CH') AS a, bool_or(country = 'CH') AS b FROM events",
    "SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id NULLS LAST LIMIT 7 OFFSET 2",
    "SELECT count(*) AS n FROM events WHERE false",
    "SELECT sum(latitude) AS s, avg(latitude) AS a, count(latitude) AS n FROM events WHERE event_type = 'none of these'",
    "SELECT string_agg(event_type, ',' ORDER BY event_type) AS t FROM (SELECT DISTINCT event_type FROM events) AS e",
    "SELECT DISTINCT country, platform FROM events",
    "SELECT DISTINCT ON (user_id) user_id, timestamp, event_id FROM events ORDER BY user_id NULLS LAST, timestamp, event_id",
    "SELECT event_type, country, count(*) AS n FROM events GROUP BY ROLLUP (event_type, country)",
    "SELECT event_type, country, count(*) AS n FROM events GROUP BY CUBE (event_type, country)",
    "SELECT event_type, platform, count(*) AS n FROM events GROUP BY GROUPING SETS ((event_type), (platform), ())",
    "SELECT session_id, min(timestamp) AS b, max(timestamp) AS e, count(DISTINCT event_type) AS t FROM events GROUP BY session_id",
    "SELECT count(DISTINCT event_type) AS a, count(DISTINCT country) AS b, count(DISTINCT session_id) AS c FROM events",
    "SELECT min(event_id) AS a, max(event_id) AS b, count(DISTINCT event_id) AS n FROM events",
    "SELECT left(event_id, 1) AS d, count(DISTINCT event_id) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT median(latitude) AS m FROM events",
)

ROWS = both(
    f"SELECT {ALL} FROM events",
    f"SELECT {ALL} FROM events WHERE user_id = 'user-5'",
    f"SELECT {ALL} FROM events WHERE session_id IN ('s-7', 's-8', 's-9') ORDER BY timestamp, event_id",
    f"SELECT {ALL} FROM events WHERE user_id = 'Zoë' AND country = 'FR' AND properties->>'word' IS NOT NULL",
    f"SELECT {ALL} FROM events WHERE event_id = (SELECT min(event_id) FROM events WHERE country = 'CH')",
    "SELECT event_type, count(*) AS n FROM events WHERE user_id = 'user-7' GROUP BY event_type",
    "SELECT timestamp FROM events WHERE user_id = 'zoe' ORDER BY timestamp DESC LIMIT 3",
    "SELECT count(*) AS n FROM events WHERE user_id = user_id AND session_id = 's-8'",
    "SELECT count(*) AS n FROM events WHERE 's-8' = session_id OR user_id = 'ZOE'",
    f"SELECT {ALL} FROM events ORDER BY timestamp DESC, event_id LIMIT 100",
    f"SELECT {ALL} FROM events WHERE source = 'shop' ORDER BY timestamp DESC, event_id LIMIT 20",
    "SELECT event_id FROM events ORDER BY event_id LIMIT 10 OFFSET 100",
    "SELECT event_id, timestamp FROM events WHERE event_id < '1' ORDER BY event_id",
    "SELECT event_id FROM events WHERE event_id IN (SELECT max(event_id) FROM events)",
    "SELECT count(*) AS n FROM events WHERE event_id LIKE 'a%'",
    "SELECT event_id, user_id FROM events WHERE user_id IS NULL AND session_id IS NOT NULL ORDER BY event_id LIMIT 25",
    "SELECT timestamp FROM events WHERE timestamp >= '2026-03-28' AND timestamp < '2026-03-28 01:00:00' ORDER BY timestamp",
    "SELECT count(*) AS n FROM events WHERE timestamp BETWEEN '2026-03-27 12:00:00' AND '2026-03-28 12:00:00'",
    "SELECT count(*) AS n FROM events WHERE timestamp < '1970-01-01'",
    "SELECT user_id, event_type FROM events WHERE (country = 'CH' OR country = 'DE') AND NOT (platform = 'web') ORDER BY 1 NULLS LAST, 2, event_id",
    "SELECT count(*) AS n FROM events WHERE country <> 'CH'",
    "SELECT count(*) AS n FROM events WHERE country IS DISTINCT FROM 'CH'",
    "SELECT count(*) AS n FROM events WHERE country IN ('CH', 'JP') AND event_category NOT IN ('shop')",
    "SELECT count(*) AS n FROM events WHERE user_id = ''",
    "SELECT count(*) AS n FROM events WHERE latitude > 45 OR longitude < -100",
)

WINDOWS = both(
    "SELECT event_id, row_number() OVER (PARTITION BY user_id ORDER BY timestamp, event_id) AS r FROM events",
    "SELECT event_id, rank() OVER (ORDER BY country NULLS LAST) AS r, dense_rank() OVER (ORDER BY country NULLS LAST) AS d FROM events",
    "SELECT event_id, lag(event_type) OVER w AS a, lead(event_type, 2, 'none') OVER w AS b FROM events WINDOW w AS (PARTITION BY session_id ORDER BY timestamp, event_id)",
    "SELECT event_id, sum(latitude) OVER (PARTITION BY country ORDER BY timestamp, event_id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM events",
    "SELECT event_id, count(*) OVER (PARTITION BY event_type) AS n FROM events",
    "SELECT event_id, first_value(user_id) OVER w AS f, last_value(user_id) OVER w AS l FROM events WINDOW w AS (PARTITION BY session_id ORDER BY timestamp, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
    "SELECT event_id, ntile(4) OVER (ORDER BY timestamp, event_id) AS q FROM events",
    "SELECT event_id, percent_rank() OVER (ORDER BY event_type) AS p, cume_dist() OVER (ORDER BY event_type) AS c FROM events",
    "SELECT event_id, nth_value(event_type, 2) OVER (PARTITION BY user_id ORDER BY timestamp, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM events",
    "SELECT * FROM (SELECT event_type, user_id, count(*) AS n, row_number() OVER (PARTITION BY event_type ORDER BY count(*) DESC, user_id NULLS LAST) AS r FROM events GROUP BY 1, 2) AS t WHERE r <= 3 ORDER BY event_type, r",
    "SELECT d, n, sum(n) OVER (ORDER BY d) AS running FROM (SELECT date_trunc('day', timestamp) AS d, count(*) AS n FROM events GROUP BY 1) AS t ORDER BY d",
    "SELECT event_id, avg(longitude) OVER (PARTITION BY source ORDER BY timestamp RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS a FROM events",
)

JOINS = both(
    "SELECT a.event_id, b.event_id AS other FROM events AS a JOIN events AS b ON a.session_id = b.session_id AND a.event_id < b.event_id WHERE a.event_type = 'search' AND b.event_type = 'order_placed'",
    "SELECT u.user_id, e.n FROM (SELECT DISTINCT user_id FROM events) AS u LEFT JOIN (SELECT user_id, count(*) AS n FROM events WHERE event_type = 'search' GROUP BY user_id) AS e ON u.user_id = e.user_id ORDER BY 1 NULLS LAST",
    "SELECT c.name, count(e.event_id) AS n FROM (VALUES ('CH', 'Schweiz'), ('AT', 'Österreich')) AS c (code, name) LEFT JOIN events AS e ON e.country = c.code GROUP BY c.name ORDER BY 1",
    "SELECT a.c, b.p, a.n, b.m FROM (SELECT country AS c, count(*) AS n FROM events GROUP BY 1) AS a FULL JOIN (SELECT platform AS p, count(*) AS m FROM events GROUP BY 1) AS b ON a.n = b.m",
    "SELECT count(*) AS n FROM (SELECT DISTINCT country FROM events) AS a CROSS JOIN (SELECT DISTINCT platform FROM events) AS b",
    "SELECT user_id, count(*) AS n FROM events AS e WHERE EXISTS (SELECT 1 FROM events AS o WHERE o.user_id = e.user_id AND o.event_type = '検索') GROUP BY 1 ORDER BY 1",
    "SELECT count(*) AS n FROM events WHERE user_id NOT IN (SELECT user_id FROM events WHERE country = 'CH' AND user_id IS NOT NULL)",
    "SELECT event_id FROM events AS e WHERE timestamp = (SELECT max(timestamp) FROM events AS o WHERE o.user_id = e.user_id)",
    "SELECT a.event_id, b.version FROM events AS a JOIN events AS b USING (event_id) WHERE a.user_id = 'Zoë'",
)

SETS = both(
    "SELECT user_id FROM events WHERE country = 'CH' UNION SELECT user_id FROM events WHERE country = 'DE'",
    "SELECT event_type FROM events WHERE country = 'CH' UNION ALL SELECT event_type FROM events WHERE country = 'JP'",
    "SELECT user_id FROM events WHERE event_type = 'search' INTERSECT SELECT user_id FROM events WHERE event_type = 'order_placed'",
    "SELECT user_id FROM events EXCEPT SELECT user_id FROM events WHERE event_type = 'search'",
    "WITH a AS (SELECT user_id, count(*) AS n FROM events GROUP BY 1), b AS (SELECT max(n) AS m FROM a) SELECT a.user_id FROM a, b WHERE a.n = b.m",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 20) SELECT n, (SELECT count(*) FROM events) AS all_of FROM t ORDER BY n",
    "WITH s AS (SELECT session_id, min(timestamp) AS b, max(timestamp) AS e FROM events GROUP BY 1) SELECT count(*) AS n, max(e) AS last FROM s WHERE session_id IS NOT NULL",
    "SELECT * FROM (VALUES (1, 'a', NULL), (2, NULL, 3.5)) AS v (i, t, f) ORDER BY i",
)

TEXTS = both(
    "SELECT count(*) AS n FROM events WHERE event_type LIKE 'under_score'",
    "SELECT DISTINCT event_type FROM events WHERE event_type LIKE '%ö%' OR event_type LIKE '検_' ORDER BY 1",
    "SELECT DISTINCT user_id FROM events WHERE user_id ILIKE 'ZO%' ORDER BY 1",
    "SELECT DISTINCT user_id FROM events WHERE user_id NOT LIKE 'user-%' ORDER BY 1",
    "SELECT DISTINCT user_id, upper(user_id) AS u, lower(user_id) AS l FROM events",
    "SELECT DISTINCT user_id, length(user_id) AS n FROM events",
    "SELECT DISTINCT user_id, reverse(user_id) AS r FROM events WHERE user_id LIKE 'user%'",
    "SELECT DISTINCT substr(event_type, 2, 3) AS s, left(event_type, 2) AS l, right(event_type, 2) AS r FROM events",
    "SELECT DISTINCT user_id || '@' || source AS t FROM events",
    "SELECT DISTINCT concat(user_id, '-', country) AS t FROM events",
    "SELECT DISTINCT replace(user_id, 'user-', 'u') AS t, trim(both 'u' from user_id) AS v FROM events",
    "SELECT DISTINCT split_part(version, '.', 2) AS t FROM events",
    "SELECT DISTINCT strpos(referrer, '?') AS t FROM events",
    "SELECT DISTINCT coalesce(country, 'none') AS c, nullif(platform, 'web') AS p FROM events",
    "SELECT DISTINCT starts_with(user_id, 'user') AS a FROM events",
    "SELECT DISTINCT translate(event_type, 'aeiou', 'AEIOU') AS a FROM events",
    "SELECT DISTINCT md5(event_type) AS m FROM events",
    "SELECT DISTINCT concat_ws('/', source, user_id, country) AS t FROM events",
    "SELECT DISTINCT position('o' IN user_id) AS p, trim(both 'uz' from user_id) AS b, ltrim(user_id, 'u') AS l, rtrim(user_id, '0') AS r FROM events",
    "SELECT user_id, max(referrer) AS m, min(event_category) AS c FROM events GROUP BY user_id",
    "SELECT event_id, CASE WHEN country IS NULL THEN platform ELSE country END AS c FROM events",
    "SELECT array_agg(DISTINCT event_type ORDER BY event_type)[1] AS f FROM events",
    "SELECT event_id FROM events WHERE user_id > 'user-2' AND user_id <= 'user-3' ORDER BY event_id",
    "SELECT DISTINCT ascii(event_type) AS a, chr(ascii(event_type)) AS c FROM events",
    "SELECT DISTINCT greatest(country, platform) AS g, least(country, platform) AS l FROM events WHERE country IS NOT NULL AND platform IS NOT NULL",
    "SELECT DISTINCT regexp_replace(version, '[0-9]+', 'N', 'g') AS t FROM events",
    "SELECT user_id FROM events WHERE user_id = 'o''neil' LIMIT 1",
)
TEXTS += apart(
    "a backslash escapes in PostgreSQL's LIKE without being named",
    (
        "SELECT count(*) AS n FROM events WHERE event_type LIKE 'video\\%%'",
        "SELECT count(*) AS n FROM events WHERE event_type LIKE 'video\\%%' ESCAPE '\\'",
    ),
)
TEXTS += apart(
    "upper('straße') is STRASSE as Unicode has it; there each character stays one",
    (
        "SELECT upper(properties->>'word') AS w, count(*) AS n FROM events GROUP BY 1",
        "SELECT replace(upper(properties->>'word'), 'ẞ', 'SS') AS w, count(*) AS n FROM events GROUP BY 1",
    ),
)
TEXTS += apart(
    "operators on patterns are written differently",
    (
        "SELECT DISTINCT user_id FROM events WHERE user_id ~ '^user-[0-9]$'",
        "SELECT DISTINCT user_id FROM events WHERE regexp_matches(user_id, '^user-[0-9]$')",
    ),
    (
        "SELECT DISTINCT user_id FROM events WHERE user_id ~* '^ZO'",
        "SELECT DISTINCT user_id FROM events WHERE regexp_matches(user_id, '^ZO', 'i')",
    ),
    (
        "SELECT DISTINCT user_id FROM events WHERE user_id !~ '[0-9]'",
        "SELECT DISTINCT user_id FROM events WHERE NOT regexp_matches(user_id, '[0-9]')",
    ),
    (
        "SELECT DISTINCT user_id, octet_length(user_id) AS b FROM events",
        "SELECT DISTINCT user_id, octet_length(encode(user_id)) AS b FROM events",
    ),
)

TIMES = both(
    "SELECT date_trunc('hour', timestamp) AS t, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('day', timestamp) AS t, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('week', timestamp) AS t, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('month', timestamp) AS t, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('year', timestamp) AS t, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('minute', timestamp) AS t, event_type, count(*) AS n FROM events GROUP BY 1, 2",
    "SELECT date_trunc('second', timestamp) AS t, count(*) AS n FROM events GROUP BY 1",
    "SELECT extract(hour FROM timestamp) AS h, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT extract(year FROM timestamp) AS y, extract(month FROM timestamp) AS m, extract(day FROM timestamp) AS d, count(*) AS n FROM events GROUP BY 1, 2, 3",
    "SELECT extract(dow FROM timestamp) AS w, extract(doy FROM timestamp) AS d, count(*) AS n FROM events GROUP BY 1, 2",
    "SELECT extract(week FROM timestamp) AS w, extract(quarter FROM timestamp) AS q, count(*) AS n FROM events GROUP BY 1, 2",
    "SELECT extract(minute FROM timestamp) AS m, count(*) AS n FROM events GROUP BY 1",
    "SELECT timestamp + INTERVAL '1 day' AS t, timestamp - INTERVAL '90 minutes' AS u, event_id FROM events",
    "SELECT timestamp + INTERVAL '1 month' AS t, timestamp - INTERVAL '1 year' AS u, event_id FROM events",
    "SELECT CAST(timestamp AS DATE) AS d, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "SELECT count(*) AS n FROM events WHERE timestamp > TIMESTAMP '2026-03-28 00:00:00' - INTERVAL '6 hours'",
    "SELECT count(*) AS n FROM events WHERE CAST(timestamp AS DATE) = DATE '2026-03-28'",
    "SELECT max(timestamp) - INTERVAL '2 hours 30 minutes' AS t FROM events",
    "SELECT DISTINCT DATE '2024-02-28' + INTERVAL '1 day' AS leap FROM events",
)
TIMES += apart(
    "buckets of a length: date_bin is PostgreSQL's, time_bucket begins its buckets of months elsewhere",
    (
        "SELECT date_bin(INTERVAL '15 minutes', timestamp, TIMESTAMP '2000-01-01 00:00:00') AS t, count(*) AS n FROM events GROUP BY 1",
        "SELECT time_bucket(INTERVAL '15 minutes', timestamp, TIMESTAMP '2000-01-01 00:00:00') AS t, count(*) AS n FROM events GROUP BY 1",
    ),
)
ZONED = "arrow_cast(arrow_cast(timestamp, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'Timestamp(Microsecond, Some(\"{}\"))')"
LOCAL = "(timestamp AT TIME ZONE 'UTC') AT TIME ZONE '{}'"
TIMES += apart(
    "DataFusion keeps the zone with the value: the wall clock of a zone is to_local_time of it",
    *(
        (
            f"SELECT event_id, to_local_time({ZONED.format(zone)}) AS t FROM events WHERE timestamp > '1970-01-02'",
            f"SELECT event_id, {LOCAL.format(zone)} AS t FROM events WHERE timestamp > '1970-01-02'",
        )
        for zone in ("America/New_York", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe")
    ),
    (
        f"SELECT date_trunc('day', to_local_time({ZONED.format('Europe/Zurich')})) AS d, count(*) AS n FROM events WHERE timestamp > '1970-01-02' GROUP BY 1",
        f"SELECT date_trunc('day', {LOCAL.format('Europe/Zurich')}) AS d, count(*) AS n FROM events WHERE timestamp > '1970-01-02' GROUP BY 1",
    ),
)
TIMES += apart(
    "seconds since 1970 are epoch() there",
    (
        "SELECT event_id, extract(epoch FROM timestamp) AS s FROM events",
        "SELECT event_id, epoch(timestamp) AS s FROM events",
    ),
    (
        "SELECT session_id, extract(epoch FROM max(timestamp)) - extract(epoch FROM min(timestamp)) AS s FROM events WHERE timestamp > '2026-01-01' GROUP BY 1",
        "SELECT session_id, epoch(max(timestamp)) - epoch(min(timestamp)) AS s FROM events WHERE timestamp > '2026-01-01' GROUP BY 1",
    ),
)

JSON = both(
    "SELECT properties->>'word' AS w, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, w NULLS LAST",
    "SELECT event_id, properties->>'n' AS n, properties->>'price' AS p, properties->>'member' AS m FROM events",
    f"SELECT properties->>'word' AS w, sum({N}) AS s, avg({PRICE}) AS a FROM events GROUP BY 1",
    "SELECT count(*) AS n FROM events WHERE properties->>'member' = 'true'",
    "SELECT count(*) AS n FROM events WHERE (properties->>'member') IS NULL",
    f"SELECT count(*) AS n FROM events WHERE {N} > 100",
    f"SELECT CAST(properties->>'big' AS BIGINT) AS b, count(*) AS n FROM events GROUP BY 1",
    "SELECT properties->>'größe 🚲' AS g, count(*) AS n FROM events GROUP BY 1",
    "SELECT event_id, properties->'nested'->'deep'->>'er' AS d FROM events WHERE properties->>'nested' IS NOT NULL",
    "SELECT event_id, properties->'nested'->'list'->>0 AS d, properties->'nested'->'list'->>1 AS e FROM events",
    "SELECT event_id, properties->>'nested' AS d FROM events",
    "SELECT event_id, properties->>'none' AS d FROM events LIMIT 0",
    f"SELECT event_type, properties->>'word' AS w, count(*) AS n FROM events WHERE {PRICE} > 10 GROUP BY 1, 2 HAVING count(*) > 2",
    "SELECT lower(properties->>'word') AS w, length(properties->>'word') AS l, count(*) AS n FROM events GROUP BY 1, 2",
    "SELECT event_id FROM events WHERE properties->>'word' LIKE '%a%' AND properties->>'word' <> 'gamma ray'",
)

CASES = both(
    "SELECT CASE WHEN latitude > 45 THEN 'north' WHEN latitude < -45 THEN 'south' WHEN latitude IS NULL THEN 'nowhere' ELSE 'middle' END AS z, count(*) AS n FROM events GROUP BY 1",
    "SELECT CASE country WHEN 'CH' THEN 1 WHEN 'DE' THEN 2 ELSE 0 END AS z, count(*) AS n FROM events GROUP BY 1",
    f"SELECT event_id, CAST({N} AS DOUBLE) / 7 AS d, {N} * 3 - 1 AS m, -({N}) AS o, abs({N}) AS a FROM events",
    f"SELECT event_id, {N} % 7 AS r FROM events",
    "SELECT event_id, floor(latitude) AS f, ceil(latitude) AS c, trunc(latitude) AS t FROM events",
    "SELECT event_id, sqrt(abs(latitude)) AS s, exp(latitude / 90) AS e, ln(abs(latitude) + 1) AS l, power(latitude, 2) AS p FROM events",
    "SELECT event_id, sin(latitude) AS s, atan2(latitude, longitude) AS a FROM events",
    "SELECT DISTINCT CAST(country AS TEXT) AS c, CAST(longitude AS INTEGER) AS i FROM events WHERE longitude IN (0.0, 13.25)",
    "SELECT 1 + NULL AS a, NULL AND false AS b, NULL OR true AS c, NOT NULL::BOOLEAN AS d",
    "SELECT CAST('42' AS BIGINT) AS a, CAST('1.5' AS DOUBLE) AS b, CAST(true AS TEXT) AS c, CAST('2026-03-29' AS DATE) AS d",
    "SELECT latitude IS NULL AS n, count(*) AS c FROM events GROUP BY 1",
    "SELECT event_id, latitude BETWEEN -10 AND 10 AS b FROM events",
    "SELECT sum(CASE WHEN country = 'CH' THEN 1 ELSE 0 END) AS a, sum(CASE WHEN country IS NULL THEN 1 END) AS b FROM events",
    "SELECT event_id, round(latitude) AS r FROM events WHERE latitude IS NOT NULL",
)
CASES += apart(
    "a whole number divided by one is whole in PostgreSQL, // in DuckDB",
    (f"SELECT event_id, {N} / 7 AS q FROM events", f"SELECT event_id, {N} // 7 AS q FROM events"),
    ("SELECT 7 / 2 AS a, -7 / 2 AS b, 7 % -3 AS c", "SELECT 7 // 2 AS a, -7 // 2 AS b, 7 % -3 AS c"),
)

REQUESTS = both(
    "SELECT count(*) AS n, sum(duration_us) AS d, min(ttfb_us) AS t, max(response_bytes) AS r FROM requests",
    "SELECT route, method, status, count(*) AS n FROM requests GROUP BY 1, 2, 3",
    "SELECT route, count(*) FILTER (WHERE status >= 500) AS e, avg(duration_us) AS a FROM requests GROUP BY route ORDER BY route",
    "SELECT date_trunc('second', timestamp) AS t, count(*) AS n, max(duration_us) AS m FROM requests GROUP BY 1 ORDER BY 1",
    "SELECT path, duration_us FROM requests ORDER BY duration_us DESC, path, timestamp LIMIT 50",
    "SELECT service, host, protocol, sum(sample_weight) AS w FROM requests GROUP BY 1, 2, 3",
    "SELECT status, count(error) AS e, count(DISTINCT path) AS p FROM requests GROUP BY status ORDER BY status",
    "SELECT r.route, e.event_type FROM (SELECT DISTINCT route FROM requests) AS r CROSS JOIN (SELECT DISTINCT event_type FROM events) AS e",
)

PERCENTILES = percentiles("requests", "duration_us", "route", "k")
PERCENTILES += percentiles("requests", "response_bytes", "status", "k")
PERCENTILES += percentiles("requests", "duration_us", "date_trunc('second', timestamp)", "k")
PERCENTILES += percentiles("(SELECT * FROM requests WHERE status = 500) AS r", "ttfb_us", "1", "k")

# Not asked while changes are pending: visits, from which ours makes these tables, follow with the files.
DERIVED = apart(
    "these tables are ours alone; an empty text is nobody's name",
    (
        "SELECT user_id, event_count AS n, first_seen AS f, last_seen AS l FROM users WHERE user_id IS NOT NULL",
        "SELECT user_id, count(*) AS n, min(timestamp) AS f, max(timestamp) AS l FROM events WHERE user_id <> '' GROUP BY 1",
    ),
    (
        "SELECT user_id, event_count AS n FROM users WHERE user_id = 'user-5'",
        "SELECT user_id, count(*) AS n FROM events WHERE user_id = 'user-5' GROUP BY 1",
    ),
    (
        "SELECT session_id, event_count AS n, started_at AS s, ended_at AS e FROM sessions WHERE session_id LIKE 's-%'",
        "SELECT session_id, count(*) AS n, min(timestamp) AS s, max(timestamp) AS e FROM events WHERE session_id LIKE 's-%' GROUP BY 1",
    ),
    (
        "SELECT u.user_id, count(*) AS n FROM users AS u JOIN events AS e ON e.user_id = u.user_id GROUP BY 1",
        "SELECT user_id, count(*) AS n FROM events WHERE user_id <> '' GROUP BY 1",
    ),
)

STATEMENTS = AGGREGATES + ROWS + WINDOWS + JOINS + SETS + TEXTS + TIMES + JSON + CASES + REQUESTS + PERCENTILES

# Those that touch storage in every way, few enough to be asked again and again while files change.
QUICK = AGGREGATES[:12] + ROWS[:16] + JSON[:8] + TIMES[:4] + WINDOWS[:2] + JOINS[:2]

# Conditions and new values; both engines read the conditions.
DELETIONS = [
    "user_id = 'user-3'",
    "event_type = 'search' AND country = 'JP'",
    "timestamp >= '2026-03-28 10:00:00' AND timestamp < '2026-03-28 10:30:00'",
    "latitude > 80",
    "properties->>'word' = 'straße'",
    "country IS NULL AND platform = 'ios'",
]
CORRECTIONS = [
    ("user_id = 'Zoë'", {"country": "FR"}),
    ("event_type = 'video%played'", {"event_category": "media"}),
    ("country = 'FR'", {"platform": None, "latitude": 46.5}),
    ("session_id = 's-7'", {"session_id": "s-8"}),
    ("properties->>'n' = '42'", {"referrer": "https://mended.example/größe"}),
]
