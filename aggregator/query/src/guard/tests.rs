use super::*;

#[test]
fn reads_pass() {
    for sql in [
        "SELECT 1",
        "select count(*) from requests;",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a UNION ALL SELECT 2",
        "VALUES (1), (2)",
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ANALYZE SELECT * FROM events",
        "(SELECT 1)",
    ] {
        assert!(reading(sql).is_ok(), "{sql}");
    }
}

#[test]
fn whatever_is_not_a_read_is_refused_by_name() {
    for (sql, verb) in [
        ("DELETE FROM events", "DELETE"),
        ("INSERT INTO events SELECT * FROM events", "INSERT"),
        ("UPDATE events SET source = 'x'", "UPDATE"),
        ("CREATE TABLE x AS SELECT 1", "CREATE"),
        ("CREATE VIEW x AS SELECT 1", "CREATE"),
        ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'", "CREATE"),
        ("DROP TABLE events", "DROP"),
        ("COPY (SELECT 1) TO '/tmp/x'", "COPY"),
        ("COPY events TO '/tmp/x'", "COPY"),
        ("SET datafusion.execution.batch_size = 1", "SET"),
        ("SHOW TABLES", "SHOW"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXPLAIN DELETE FROM events", "EXPLAIN"),
        ("TRUNCATE TABLE events", "TRUNCATE"),
        ("BEGIN", "BEGIN"),
    ] {
        let error = reading(sql).expect_err(sql);
        assert!(matches!(&error, QueryError::NotARead(text) if text.starts_with(verb)), "{sql}: {error}");
    }
}

#[test]
fn one_statement_of_a_bounded_size() {
    assert!(matches!(reading("SELECT 1; DELETE FROM events"), Err(QueryError::Invalid(_))));
    assert!(matches!(reading(""), Err(QueryError::Invalid(_))));
    assert!(matches!(reading("selct"), Err(QueryError::Invalid(_))));
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert!(matches!(reading(&long), Err(QueryError::Invalid(_))));
    let chain = format!("SELECT true{}", " OR true".repeat(6_000));
    assert!(matches!(reading(&chain), Err(QueryError::Invalid(_))));
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(matches!(reading(&deep), Err(QueryError::Invalid(_))));
}
