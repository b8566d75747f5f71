-- One row a user, or a visitor who never said who they are. All but the session count is sums and ends of visits.
SELECT user_id, anonymous_id, first_seen, last_seen,
       week_of(first_seen) AS cohort, CAST(first_seen AS DATE) AS cohort_day,
       event_count, session_count, page_count, error_count,
       text_of(first_source) AS first_source, text_of(first_referrer) AS first_referrer,
       text_of(country) AS country, text_of(device_type) AS device_type, text_of(platform) AS platform
FROM (
    SELECT user_id, anonymous_id,
           min(timestamp) AS first_seen, max(last_timestamp) AS last_seen,
           sum(event_count) AS event_count, sum(page_count) AS page_count, sum(error_count) AS error_count,
           sum(CASE WHEN begins THEN 1 ELSE 0 END) AS session_count,
           min(stamped(timestamp, source)) AS first_source,
           min(stamped(referrer_timestamp, referrer)) AS first_referrer,
           max(stamped(last_timestamp, country)) AS country,
           max(stamped(last_timestamp, device_type)) AS device_type,
           max(stamped(last_timestamp, platform)) AS platform
    FROM (
        -- A session begins with its first visit; where none is named, with each that follows a long pause.
        SELECT *, reached IS NULL OR (session_id IS NULL AND CAST(timestamp AS BIGINT) - reached > {pause}) AS begins
        FROM (
            SELECT *, max(CAST(last_timestamp AS BIGINT)) OVER (
                       PARTITION BY user_id, anonymous_id, session_id ORDER BY timestamp
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM (
                SELECT user_id, CASE WHEN user_id IS NULL THEN anonymous_id END AS anonymous_id, session_id,
                       timestamp, last_timestamp, event_count, page_count, error_count,
                       source, referrer, referrer_timestamp, country, device_type, platform
                FROM visits WHERE user_id IS NOT NULL OR anonymous_id IS NOT NULL
            ) AS visitors
        ) AS following
    ) AS marked
    GROUP BY user_id, anonymous_id
) AS totals
