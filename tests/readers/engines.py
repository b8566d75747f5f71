"""The readers, each behind the same three questions. None of them shares code with the aggregator's own query engine
but deltalake, which is the same Delta implementation in another version and so the easiest of the three to please.

A reader gives Arrow tables; facts.py brings them to one form.
"""

import contextlib
import io
import os

import pyarrow as pa


class DeltaLake:
    """delta-rs from PyPI: rows through its own reader, conditions through its own SQL."""

    name = "deltalake"

    def rows(self, path):
        from deltalake import DeltaTable

        return DeltaTable(path).to_pyarrow_table()

    def find(self, path, micros):
        """The ids of the rows at one time, by a condition that each reader may use to skip files."""
        return self.select(path, f"select event_id from it where timestamp = arrow_cast({micros}, 'Timestamp(Microsecond, None)')")

    def days(self, path):
        return self.select(path, "select cast(date as varchar) as day, count(*) as rows from it group by 1")

    def select(self, path, sql):
        from deltalake import DeltaTable, QueryBuilder

        return pa.table(QueryBuilder().register("it", DeltaTable(path)).execute(sql).read_all())

    def close(self):
        pass


class ClickHouse:
    """The ClickHouse engine within this process, through delta-kernel."""

    name = "chdb"

    def rows(self, path):
        return self.select(path, "select * from it")

    def find(self, path, micros):
        return self.select(path, f"select event_id from it where timestamp = fromUnixTimestamp64Micro({micros}, 'UTC')")

    def days(self, path):
        return self.select(path, "select toString(date) as day, count() as rows from it group by 1")

    def select(self, path, sql):
        import chdb

        answer = chdb.query(sql.replace("from it", f"from deltaLakeLocal('{path}')"), "ArrowStream")
        return pa.ipc.open_stream(pa.BufferReader(answer.bytes())).read_all()

    def close(self):
        pass


class Spark:
    """A PySpark client of a Spark Connect server (pysail)."""

    name = "spark"

    def __init__(self):
        # Both speak of themselves on the standard streams.
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self.server = SparkConnectServer("127.0.0.1", 0)
        self.server.start(background=True)
        host, port = self.server.listening_address
        self.session = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
        # A session west of Greenwich: times without a zone must not move.
        self.session.conf.set("spark.sql.session.timeZone", "America/Los_Angeles")

    def rows(self, path):
        return self.session.read.format("delta").load(path).toArrow()

    def find(self, path, micros):
        # Written as text, since Spark has no function from microseconds to a time without a zone.
        return self.select(path, f"select event_id from it where timestamp = timestamp_ntz'{text_of(micros)}'")

    def days(self, path):
        return self.select(path, "select cast(date as string) as day, count(*) as rows from it group by 1")

    def select(self, path, sql):
        self.session.read.format("delta").load(path).createOrReplaceTempView("it")
        return self.session.sql(sql).toArrow()

    def close(self):
        # The session first: a client without its server tries again for ten minutes.
        with contextlib.redirect_stderr(io.StringIO()):
            self.session.stop()
        self.server.stop()


def text_of(micros):
    """2026-11-20 08:15:30.123456"""
    import datetime

    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)).isoformat(" ", "microseconds").rjust(26, "0")


ALL = (DeltaLake, ClickHouse, Spark)
