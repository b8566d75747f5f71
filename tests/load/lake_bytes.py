"""Bytes a row of each column in the lake's Parquet files, and beside them a bound.

    lake_bytes.py DATA        the folder of an aggregator's data; `ridealong-load bytes` calls this

A bound is the least of what simple models need for the column alone, in the order in which it lies in the files:
  values    order-0 entropy of the values, and the distinct values once (by zstd -19)
  steps     order-0 entropy of the differences between neighbours (integers and times)
  id        of a UUIDv7, given the row's time: the random bits that are drawn for it; for ids numbered within a thread
            only which thread it is, and steps of its counter
  zstd -19  the whole column as text, of the first rows
None sees what another column tells (duration and time to first byte, path and size), so a bound is no proof.
"""

import collections
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

TEXT_ROWS = 200_000
ZSTD = pa.Codec("zstd", 19)


def entropy(counts):
    """Bytes in all of values that occur so often."""
    counts = np.asarray(counts, dtype=np.float64)
    return float(-(counts * np.log2(counts / counts.sum())).sum()) / 8


def counted(array):
    return np.unique(array, return_counts=True)


def squeezed(parts):
    text = b"\n".join(parts)
    return len(ZSTD.compress(text, asbytes=True)) if text else 0


def raw(value):
    return value if isinstance(value, bytes) else str(value).encode()


def by_values(column):
    counts = pc.value_counts(column.combine_chunks()).flatten()
    values, counts = counts[0].to_pylist(), counts[1].to_numpy(zero_copy_only=False)
    if len(values) > len(column) // 4:
        return None
    return entropy(counts) + squeezed(sorted(raw(value) for value in values if value is not None))


def by_steps(numbers):
    return entropy(counted(np.diff(numbers))[1]) + 8 if len(numbers) > 1 else 8


def by_id(column, times):
    """48 bits of milliseconds, 4 of version, 12 and 30 that are fixed for a thread or drawn, 32 of a counter or drawn."""
    ids = np.frombuffer(b"".join(column.to_pylist()), dtype=">u4").reshape(-1, 4).astype(np.int64)
    late = (ids[:, 0] << 16 | ids[:, 1] >> 16) - times // 1000
    late = entropy(counted(late)[1])
    keys = (ids[:, 1] & 0xFFFF) << 32 | ids[:, 2]
    distinct, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if len(distinct) > len(ids) // 64:
        return late + len(ids) * 74 / 8
    steps = [np.diff(ids[places == at, 3]) for at in range(len(distinct))]
    return late + entropy(counts) + entropy(counted(np.concatenate(steps))[1]) + 8 * len(distinct)


def bound(table, name):
    """The least bytes in all, and by which model."""
    column = table[name]
    valid = column.drop_null()
    if len(valid) == 0:
        return 0.0, "values"
    bounds = {}
    presence = entropy([n for n in (column.null_count, len(valid)) if n])
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        bounds["steps"] = presence + by_steps(valid.combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False))
    if name == "event_id":
        bounds["id"] = by_id(column, table["timestamp"].combine_chunks().cast(pa.int64()).to_numpy())
    of_values = by_values(column)
    if of_values is not None:
        bounds["values"] = of_values
    if kind in (pa.string(), pa.large_string()) and (of_values is None or of_values > len(column)):
        first = valid.slice(0, TEXT_ROWS)
        bounds["zstd -19"] = squeezed([raw(value) for value in first.to_pylist()]) / len(first) * len(valid)
    if not bounds:
        bounds["raw"] = float(column.nbytes)
    model = min(bounds, key=bounds.get)
    return bounds[model], model


def printed(lines):
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        cells = [cell.ljust(w) if at in (0, len(line) - 1) else cell.rjust(w) for at, (cell, w) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())


def looked_at(folder):
    files = sorted(path.removeprefix("file://") for path in DeltaTable(str(folder)).file_uris())
    if not files:
        return
    rows, stored, index = 0, 0, 0
    sizes, raws, encodings = collections.Counter(), collections.Counter(), collections.defaultdict(set)
    bounds, models = collections.Counter(), {}
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        rows += metadata.num_rows
        stored += Path(file).stat().st_size
        for group in range(metadata.num_row_groups):
            for at in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(at)
                sizes[chunk.path_in_schema] += chunk.total_compressed_size
                raws[chunk.path_in_schema] += chunk.total_uncompressed_size
                encodings[chunk.path_in_schema] |= set(chunk.encodings) - {"RLE"}
    largest = max(files, key=lambda file: pq.ParquetFile(file).metadata.num_rows)
    table = pq.ParquetFile(largest).read()
    for name in sizes:
        bounds[name], models[name] = bound(table, name)
        bounds[name] /= len(table)
    total = sum(sizes.values())
    print(f"\n{folder.name}: {rows:,} rows in {len(files)} files, {stored / rows:.2f} bytes a row")
    lines = [["column", "bytes a row", "share %", "before zstd", "bound", "by", "encodings"]]
    for name, size in sizes.most_common():
        lines.append([name, f"{size / rows:.3f}", f"{100 * size / stored:.1f}", f"{raws[name] / rows:.2f}",
                      f"{bounds[name]:.3f}", models[name], " ".join(sorted(encodings[name]))])
    rest = stored - total
    lines.append(["(index, footer)", f"{rest / rows:.3f}", f"{100 * rest / stored:.1f}", "", "", "", ""])
    lines.append(["(all)", f"{stored / rows:.3f}", "100.0", f"{sum(raws.values()) / rows:.2f}",
                  f"{sum(bounds.values()):.3f}", "", ""])
    printed(lines)


data = Path(sys.argv[1])
for name in ("requests", "events"):
    for folder in sorted(data.rglob(name)):
        if (folder / "_delta_log").is_dir():
            looked_at(folder)
