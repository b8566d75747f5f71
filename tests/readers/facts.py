"""Rows in one form, whoever read them: times as microseconds since 1970, bytes as hexadecimal text, all else as it is."""

import re
from collections import Counter

import pyarrow as pa

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z")
# The partition column, which SQL does not show.
DATE = "date"


class Rows:
    """A table's rows: names of columns in their order, and one list of values a column."""

    def __init__(self, columns):
        self.columns = columns

    @staticmethod
    def of_arrow(table, binary):
        """`binary` names the columns that hold bytes: some readers know no difference between bytes and text."""
        return Rows({
            field.name: plain(table.column(field.name), field.name in binary)
            for field in table.schema
            if field.name != DATE
        })

    @staticmethod
    def of_answer(answer, binary):
        """From an answer of POST /api/analytics/query."""
        kinds = {column["name"]: column["type"] for column in answer["columns"]}
        columns = {name: [row[name] for row in answer["data"]] for name in kinds}
        for name, kind in kinds.items():
            if kind == "timestamp":
                columns[name] = [micros_of(text) for text in columns[name]]
            elif name in binary:
                columns[name] = [bytes_of(text) for text in columns[name]]
        return Rows(columns)

    def count(self):
        return len(next(iter(self.columns.values())))

    def times(self):
        """Smallest, largest and sum in microseconds of every column of times."""
        return {
            name: (min(values), max(values), sum(values))
            for name, values in self.columns.items()
            if name in ("timestamp", "received_at")
        }

    def nulls(self):
        return {name: sum(value is None for value in values) for name, values in self.columns.items()}

    def ids(self):
        return sorted(self.columns.get("event_id", []))

    def whole(self):
        """Every row as often as it is there, whatever the order. The names are part of it."""
        names = sorted(self.columns)
        return Counter(tuple((name, repr(self.columns[name][at])) for name in names) for at in range(self.count()))


def plain(column, binary):
    if pa.types.is_timestamp(column.type):
        if column.type.unit != "us":
            raise ValueError(f"times come as {column.type}, microseconds are stored")
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_string(column.type) and binary:
        column = column.cast(pa.binary())
    values = column.to_pylist()
    return [value.hex() if isinstance(value, bytes) else value for value in values]


def micros_of(text):
    """Without a calendar library, since those end at the year 1."""
    found = RFC3339.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no time as the contract writes it")
    year, month, day, hour, minute, second, micros = map(int, found.groups())
    # Days since 1970 by the proleptic Gregorian calendar, years counted from March.
    year -= month <= 2
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719_468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros


def bytes_of(text):
    if text is not None and UUID.fullmatch(text):
        return text.replace("-", "")
    return text
