-- One row a session: the named ones by their id, the others by visitor and run of visits without a long pause.
SELECT coalesce(session_id, session_id_of(visitor_user, visitor_anonymous, started_at)) AS session_id,
       text_of(user_id) AS user_id, text_of(anonymous_id) AS anonymous_id, text_of(source) AS source,
       started_at, ended_at, CAST(ended_at AS BIGINT) - CAST(started_at AS BIGINT) AS duration_us,
       event_count, page_count, error_count,
       text_of(entry_event_type) AS entry_event_type, text_of(exit_event_type) AS exit_event_type,
       text_of(referrer) AS referrer, text_of(country) AS country,
       text_of(device_type) AS device_type, text_of(platform) AS platform
FROM (
    SELECT session_id, visitor_user, visitor_anonymous, run,
           min(timestamp) AS started_at, max(last_timestamp) AS ended_at,
           sum(event_count) AS event_count, sum(page_count) AS page_count, sum(error_count) AS error_count,
           min(stamped(timestamp, user_id)) AS user_id, min(stamped(timestamp, anonymous_id)) AS anonymous_id,
           min(stamped(timestamp, source)) AS source,
           min(stamped(timestamp, entry_event_type)) AS entry_event_type,
           max(stamped(last_timestamp, exit_event_type)) AS exit_event_type,
           min(stamped(referrer_timestamp, referrer)) AS referrer,
           min(stamped(timestamp, country)) AS country,
           min(stamped(timestamp, device_type)) AS device_type, min(stamped(timestamp, platform)) AS platform
    FROM (
        SELECT session_id, arrow_cast(NULL, 'Utf8') AS visitor_user, arrow_cast(NULL, 'Utf8') AS visitor_anonymous,
               0 AS run, user_id, anonymous_id, timestamp, last_timestamp, event_count, page_count, error_count,
               source, country, device_type, platform, entry_event_type, exit_event_type, referrer, referrer_timestamp
        FROM named
        UNION ALL
        -- The frame by RANGE takes visits that begin together as one, in whatever order they are sorted.
        SELECT session_id, visitor_user, visitor_anonymous,
               sum(CASE WHEN reached IS NULL OR CAST(timestamp AS BIGINT) - reached > {pause} THEN 1 ELSE 0 END) OVER (
                   PARTITION BY visitor_user, visitor_anonymous ORDER BY timestamp
                   RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS run,
               user_id, anonymous_id, timestamp, last_timestamp, event_count, page_count, error_count,
               source, country, device_type, platform, entry_event_type, exit_event_type, referrer, referrer_timestamp
        FROM (
            SELECT *, max(CAST(last_timestamp AS BIGINT)) OVER (
                       PARTITION BY visitor_user, visitor_anonymous ORDER BY timestamp
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM (
                SELECT *, user_id AS visitor_user, CASE WHEN user_id IS NULL THEN anonymous_id END AS visitor_anonymous
                FROM unnamed
            ) AS visitors
        ) AS following
    ) AS runs
    GROUP BY session_id, visitor_user, visitor_anonymous, run
) AS totals
