"""Keeps the rows of an index in LanceDB: one folder, or an address of an object store.

Every commit of Lance is whole or not there, so a kill leaves no half row. What Lance does not know is told apart
here: which model and source the rows are of (metadata of the table), whether a row is damaged (checksums), and
whether files changed behind its back (the seal).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from clipbert_mmf.configuration import suggest
from clipbert_mmf.json_text import parse_json
from clipbert_mmf.library.lance import connect, wait_for
from clipbert_mmf.library.rows import (
    EMBEDDING,
    FACTS,
    Row,
    make_schema,
    make_table,
    read_rows,
)
from clipbert_mmf.training.run_lock import FILE_NAME
from clipbert_mmf.video.stores.base import stamp_file

if TYPE_CHECKING:  # an optional library
    import pyarrow as pa

#: Version of what the rows mean; an index of another version is built anew.
FORMAT_VERSION = 3
_TABLE = "media"
_SETTINGS_KEY = b"clipbert_mmf"
_SEAL = "clipbert_seal.json"
#: Rows that are read at a time where all are.
_ROWS_PER_READ = 4096
#: Rows of one partition of embeddings, and a number of partitions that is never reached: all are scanned.
_ROWS_PER_PARTITION, _ALL_PARTITIONS = 50_000, 100_000
#: Where a search finds the nearest embeddings: among all of them; in a graph of their codes of 8 bits; or among shorter
#: codes in the nearest partitions, and then among the embeddings of what is found.
EXACT, GRAPH, CODES = "exact", "graph", "codes"
_LANCE_KINDS = {EXACT: "IvfFlat", GRAPH: "IvfHnswSq", CODES: "IvfPq"}
#: Nodes of a graph, or partitions of codes, that a search looks at: the first with which enough is found.
_WIDTHS = {EXACT: (0,), GRAPH: (100, 150, 200, 300, 500, 800), CODES: (5, 10, 20, 50, 100, 200)}
_DOT: Any = {"distance_type": "dot"}
_ROWS_PER_GRAPH, _ROWS_PER_CODE_PARTITION = 2_000_000, 4096
#: Rows from which codes can be made.
LEAST_CODED = 256
#: Codes' rows that are compared by their embeddings, as a multiple of those that are wanted; and the rows above which
#: a search is exact.
_REFINE, _MOST_APPROXIMATE = 5, 2000
#: What the metadata of the column notes.
_WIDTH_KEY, _TRIED_KEY = "clipbert_width", "clipbert_num_tried"
#: Files of few rows, each of an update, from which they are joined.
_MANY_FILES = 8
#: Difference of dot products of rows that are equally near, by rounding.
_EQUALLY_NEAR = 1e-6
#: Part of the 100 nearest rows that an approximate search has to find.
GOOD_RECALL = 0.98
#: Longest time between a commit and the note of its files that a search waits for.
_LONGEST_COMMIT_SEC = 5.0
#: Times that a commit is tried again which met that of another process.
_MAX_TRIES = 20
#: Columns that a filter may name.
FILTER_COLUMNS = tuple(name for name in FACTS if name not in ("content", "clips_sec", "tokens_shape"))


class LibraryError(RuntimeError):
    """Raised for an index that cannot be read or written; says what to do."""


@dataclass(frozen=True)
class ModelIdentity:
    """A model, as an index knows it.

    Attributes:
        hash: first 16 digits of ``hash_model``.
        name: where it was loaded from, for messages.
    """

    hash: str
    name: str

    def __str__(self) -> str:
        return f"'{self.name}' ({self.hash})"


@dataclass(frozen=True)
class LibrarySettings:
    """What all rows of an index have in common.

    Attributes:
        model: the model that encoded the media.
        source: place of the media.
        media: ``video`` or ``image``.
        embedding_size: E; 0 for a model without embeddings.
        window_sec: length of a window; None for the model's sampling over the whole medium.
        tokens: data type of kept tokens, ``bf16`` or ``fp32``; None where none are kept.
        version: see ``FORMAT_VERSION``.
    """

    model: ModelIdentity
    source: str
    media: str
    embedding_size: int
    window_sec: float | None = None
    tokens: str | None = None
    version: int = FORMAT_VERSION


@dataclass(frozen=True)
class VectorIndex:
    """Embeddings beside the rows.

    Attributes:
        kind: ``EXACT``, ``GRAPH`` or ``CODES``.
        width: nodes or partitions that a search looks at.
        num_tried: rows at which codes were measured and found too little.
    """

    kind: str
    width: int = 0
    num_tried: int = 0


@dataclass(frozen=True)
class VectorReport:
    """What partitions find, measured against a scan of the table.

    Attributes:
        index: the partitions.
        recall: part of the 100 nearest rows that they find.
        seconds: CPU time of a search in them.
    """

    index: VectorIndex
    recall: float
    seconds: float


def is_library(location: str | Path) -> bool:
    """Return whether a folder or an address holds an index."""
    if "://" in str(location):
        return True
    return Path(location, f"{_TABLE}.lance").is_dir()


class LibraryStore:
    """The rows of an index. ``open_store`` and ``create_store`` make one.

    Args:
        location: its folder or address.
        table: the asynchronous table of LanceDB.
        schema: its columns.
        settings: what its rows have in common.

    Attributes:
        trusts_vectors: whether the partitions of embeddings may be used.
    """

    def __init__(self, location: str, table: Any, schema: pa.Schema, settings: LibrarySettings):
        self.location, self.settings = location, settings
        self._table = table
        self._schema = make_schema(settings.embedding_size, schema.metadata or {})
        self.trusts_vectors = True
        #: Version of the table that was looked at, and its partitions.
        self._indexed: tuple[int, VectorIndex | None] = (-1, None)

    def __len__(self) -> int:
        with explain(self.location, "read"):
            return wait_for(self._table.count_rows())

    def count(self, where: str) -> int:
        """Return the number of rows that a filter leaves."""
        with explain(self.location, "read"):
            return wait_for(self._table.count_rows(where))

    @property
    def folder(self) -> Path | None:
        """The folder, None for an address."""
        return None if "://" in self.location else Path(self.location)

    def append(self, rows: Sequence[Row], replaces: Sequence[str] = ()) -> None:
        """Add rows in one commit, after those of the paths that they replace are gone.

        Raises:
            LibraryError: if they cannot be written; nothing of them is there then.
        """
        with explain(self.location, "written"):
            table = make_table(rows, self._schema)
            if replaces:
                self.remove(replaces)
            self._commit(lambda: self._table.add(table))

    def remove(self, paths: Sequence[str]) -> None:
        """Remove all rows of some paths."""
        with explain(self.location, "written"):
            for start in range(0, len(paths), 1000):
                where = f"path IN ({', '.join(map(_quote, paths[start : start + 1000]))})"
                self._commit(lambda where=where: self._table.delete(where))

    def _commit(self, call: Callable[[], Awaitable[Any]]) -> None:
        for number in range(_MAX_TRIES):
            try:
                wait_for(call())
                return
            except Exception as error:  # LanceDB has no class of its own for it
                if "conflict" not in str(error).lower() or number + 1 == _MAX_TRIES:
                    raise
                time.sleep(0.05 * (number + 1))
                wait_for(self._table.checkout_latest())

    def reopen(self) -> None:
        """See what other processes committed."""
        with explain(self.location, "read"):
            wait_for(self._table.checkout_latest())

    def read_version(self) -> int:
        """Return the number of the commit that is looked at."""
        with explain(self.location, "read"):
            return wait_for(self._table.version())

    def compact(self, is_due: bool = True) -> bool:
        """Join the small files of many commits, and remove those of old versions.

        Joining writes up to a million rows anew, so that a small update waits for others.

        Args:
            is_due: join them in any case; else where there are many.

        Returns:
            Whether they were joined, and what was appended came into the partitions of embeddings.
        """
        from datetime import timedelta

        with explain(self.location, "read"):
            if (
                not is_due
                and wait_for(self._table.stats())["fragment_stats"]["num_small_fragments"] < _MANY_FILES
            ):
                return False
        with explain(self.location, "written"), warnings.catch_warnings():
            # It warns of readers of old versions: ours take the last one before each search.
            warnings.simplefilter("ignore", UserWarning)
            self._commit(lambda: self._table.optimize(cleanup_older_than=timedelta(0)))
        return True

    def check_filter(self, where: str) -> None:
        """Raise ``ValueError`` where a filter cannot be used; says what is wrong and which columns there are."""
        if not where.strip():
            raise ValueError(f"--where is empty; expected SQL over {', '.join(FILTER_COLUMNS)}")
        bare = re.sub(_TEXT, " ", where, flags=re.DOTALL)
        hidden = {*self._schema.names}.difference(FILTER_COLUMNS)
        for name in re.findall(r"\w+", bare):
            if name.lower() in hidden or name.startswith("_"):
                raise ValueError(_describe_filter(where, f"No field named {name}"))
        if not _is_balanced(re.sub(_QUOTED, " ", bare)):
            raise ValueError(_describe_filter(where, "its brackets do not fit together"))
        try:
            # Lance reads a filter up to where it ends for it, and leaves out what follows: in brackets nothing may.
            query = self._table.query().where(join_filters("true", where)).select(["path"]).limit(1)
            wait_for(query.to_arrow())
        except Exception as error:  # LanceDB raises RuntimeError and ValueError
            raise ValueError(_describe_filter(where, " ".join(str(error).split()))) from error

    def read_columns(self, names: Sequence[str], where: str | None = None) -> pa.Table:
        """Return some columns of all rows, or of those that a filter leaves."""
        with explain(self.location, "read"):
            query = self._table.query().select(list(names))
            return wait_for((query.where(where) if where else query).to_arrow())

    def iterate_rows(self, where: str | None = None) -> Iterator[tuple[list[Row], list[str]]]:
        """Yield rows some thousand at a time, each time with the paths of damaged ones."""
        with explain(self.location, "read"):
            import pyarrow as pa

            query = self._table.query().select(self._schema.names)
            query = query.where(where) if where else query
            batches = wait_for(query.to_batches(max_batch_length=_ROWS_PER_READ))
            while (batch := wait_for(anext(batches, None))) is not None:
                yield read_rows(pa.Table.from_batches([batch]))

    def read_paths(self, paths: Sequence[str]) -> list[Row]:
        """Return all rows of some paths, checked.

        Raises:
            LibraryError: if one is damaged.
        """
        found: list[Row] = []
        for start in range(0, len(paths), 1000):
            where = f"path IN ({', '.join(map(_quote, paths[start : start + 1000]))})"
            for rows, damaged in self.iterate_rows(where):
                self.refuse_damaged(damaged)
                found += rows
        return found

    def find_nearest(
        self,
        vector: NDArray[np.float32],
        limit: int,
        where: str | None = None,
        index: VectorIndex | None = None,
    ) -> list[tuple[int, float]]:
        """Return numbers of the rows whose embeddings have the largest dot product with a vector, and that product.

        Numbers hold until the next commit. No row is read.

        Args:
            vector: ``(E,)`` float32 unit vector.
            limit: number of rows.
            where: filter in SQL over ``FILTER_COLUMNS``; None takes all rows with an embedding.
            index: where to look; None reads the table. Products of a graph are of its codes.
        """
        with explain(self.location, "read"):
            query = self._table.query().nearest_to(vector).column(EMBEDDING).distance_type("dot").limit(limit)
            if index is None or (index.kind != EXACT and (where or limit > _MOST_APPROXIMATE)):
                # A graph of all rows finds few of those that a filter leaves.
                query = query.bypass_vector_index()
            elif index.kind == GRAPH:
                query = query.nprobes(_ALL_PARTITIONS).ef(max(index.width, limit))
            elif index.kind == CODES:
                query = query.nprobes(index.width).refine_factor(_REFINE)
            else:
                query = query.nprobes(_ALL_PARTITIONS)
            query = query.where(where) if where else query
            table = wait_for(query.with_row_id().select(["_distance"]).to_arrow())
        return [
            (number, 1.0 - distance)
            for number, distance in zip(
                table["_rowid"].to_pylist(), table["_distance"].to_pylist(), strict=True
            )
        ]

    def read_keys(self, numbers: Sequence[int]) -> list[tuple[str, str, float | None]]:
        """Return path, kind and start of some rows, in their order."""
        table = self._take(numbers, ["path", "kind", "start_sec"])
        keys = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        return cast("list[tuple[str, str, float | None]]", list(keys))

    def read_numbered(self, numbers: Sequence[int]) -> list[Row]:
        """Return some rows in their order, checked.

        Raises:
            LibraryError: if one is damaged.
        """
        rows, damaged = read_rows(self._take(numbers, self._schema.names))
        self.refuse_damaged(damaged)
        return rows

    def _take(self, numbers: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return columns of some rows, in their order; Lance gives each once, sorted."""
        import pyarrow as pa

        with explain(self.location, "read"):
            if not numbers:
                return self._schema.empty_table().select(list(columns))
            query = self._table.take_row_ids(list(dict.fromkeys(numbers))).select(list(columns)).with_row_id()
            table = wait_for(query.to_arrow())
            places = {number: place for place, number in enumerate(table["_rowid"].to_pylist())}
            return table.select(list(columns)).take(pa.array([places[number] for number in numbers]))

    @property
    def vector_index(self) -> VectorIndex | None:
        """Partitions of embeddings that a search may look in; None without, and where they are not trusted."""
        if not self.trusts_vectors:
            return None
        with explain(self.location, "read"):
            version = self.read_version()
            if self._indexed[0] != version:
                self._indexed = (version, self._find_vector_index())
        return self._indexed[1]

    def _find_vector_index(self) -> VectorIndex | None:
        found = [index for index in wait_for(self._table.list_indices()) if EMBEDDING in index.columns]
        if not found:
            return None
        notes = wait_for(self._table.schema()).field(EMBEDDING).metadata or {}
        kind = next((kind for kind, name in _LANCE_KINDS.items() if name == found[0].index_type), None)
        if kind is None:
            return None
        return VectorIndex(
            kind, int(notes.get(_WIDTH_KEY.encode(), 0)), int(notes.get(_TRIED_KEY.encode(), 0))
        )

    def build_vector_index(self, kind: str = EXACT, num_tried: int = 0) -> VectorReport:
        """Put the embeddings beside the rows, where a search finds the nearest faster than in the table.

        Args:
            kind: ``EXACT``, ``GRAPH`` or ``CODES``.
            num_tried: rows at which codes were measured and found too little.

        Raises:
            LibraryError: if it cannot be written.
        """
        from lancedb.index import HnswSq, IvfFlat, IvfPq  # pyright: ignore[reportMissingImports]

        num_rows, size = len(self), self.settings.embedding_size
        configs = {
            EXACT: lambda: IvfFlat(
                num_partitions=max(8, num_rows // _ROWS_PER_PARTITION), max_iterations=10, **_DOT
            ),
            GRAPH: lambda: HnswSq(num_partitions=1 + num_rows // _ROWS_PER_GRAPH, max_iterations=10, **_DOT),
            CODES: lambda: IvfPq(
                num_partitions=1 + num_rows // _ROWS_PER_CODE_PARTITION,
                num_sub_vectors=_count_codes(size),
                max_iterations=10,
                **_DOT,
            ),
        }
        with explain(self.location, "written"):
            self._commit(lambda: self._table.create_index(EMBEDDING, config=configs[kind]()))
            report, nearest = VectorReport(VectorIndex(kind), 0.0, 0.0), self._find_some()
            widths = _WIDTHS[kind]
            for number, width in enumerate(widths):
                report = self._compare(VectorIndex(kind, width, num_tried), nearest)
                if report.recall >= GOOD_RECALL:
                    # Texts lie further away than the rows that were looked for.
                    wider = widths[min(number + 1, len(widths) - 1)]
                    if wider != width:
                        report = self._compare(VectorIndex(kind, wider, num_tried), nearest)
                    break
            self._note({_WIDTH_KEY: report.index.width, _TRIED_KEY: num_tried})
        return report

    def _note(self, notes: dict[str, int]) -> None:
        update = {
            "path": EMBEDDING,
            "metadata": {key: str(number) for key, number in notes.items()},
        }
        self._commit(lambda: self._table.update_field_metadata(update))

    def drop_vector_index(self) -> None:
        """Remove the partitions of embeddings, if there are any."""
        with explain(self.location, "written"):
            for index in wait_for(self._table.list_indices()):
                self._commit(lambda name=index.name: self._table.drop_index(name))

    def measure(self, index: VectorIndex, num_queries: int = 8) -> VectorReport:
        """Compare what an index finds with a scan of the table, for embeddings of some rows."""
        with explain(self.location, "read"):
            return self._compare(index, self._find_some(num_queries))

    def _find_some(
        self, num_queries: int = 8, limit: int = 100
    ) -> list[tuple[NDArray[np.float32], list[float]]]:
        """Return the embeddings of some rows, each with the dot products of its nearest rows."""
        step = max(1, len(self) // num_queries)
        query = self._table.take_offsets(list(range(0, len(self), step))).select(self._schema.names)
        rows, damaged = read_rows(wait_for(query.to_arrow()))
        self.refuse_damaged(damaged)
        vectors = [row.embedding for row in rows if row.embedding is not None]
        return [(vector, [value for _, value in self.find_nearest(vector, limit)]) for vector in vectors]

    def _compare(
        self, index: VectorIndex, nearest: Sequence[tuple[NDArray[np.float32], list[float]]]
    ) -> VectorReport:
        same, total, seconds = 0, 0, 0.0
        for vector, products in nearest:
            self.find_nearest(vector, len(products), index=index)
            begin = time.process_time()
            found = self.find_nearest(vector, len(products), index=index)
            seconds += time.process_time() - begin
            # Of rows that are equally near, any may be found.
            least = products[-1] - _EQUALLY_NEAR
            same, total = same + sum(value >= least for _, value in found), total + len(products)
        return VectorReport(index, same / max(1, total), seconds / max(1, len(nearest)))

    def refuse_damaged(self, paths: Sequence[str]) -> None:
        """Raise ``LibraryError`` if there are paths of damaged rows."""
        if paths:
            raise LibraryError(
                f"{len(paths)} rows of the index {self.location} are damaged, the first of '{paths[0]}': their values "
                f"and their checksums differ; encode them anew with clipbert index {self.settings.source} --out "
                f"{self.location} --update --verify"
            )

    def check(self) -> None:
        """Look at everything, where files are others than this package wrote last.

        Raises:
            LibraryError: if commits are gone or a row is damaged.
        """
        noted, there = self._read_seal().get("version"), self.read_version()
        # Lance takes the version before where the last one's file is gone: what came and went with it would be
        # another without a word.
        if isinstance(noted, int) and there < noted:
            raise LibraryError(
                f"the index {self.location} lost what was written last: it has version {noted} noted, and the last "
                f"that is whole is {there}; encode what is missing with clipbert index {self.settings.source} --out "
                f"{self.location} --update"
            )
        self.refuse_damaged(self.find_damaged())

    def find_damaged(self) -> list[str]:
        """Return the paths of all damaged rows; reads everything."""
        return sorted({path for _, damaged in self.iterate_rows() for path in damaged})

    def is_sealed(self) -> bool:
        """Return whether the files are those that this package wrote last; an address is taken at its word."""
        if self.folder is None:
            return True
        return self._read_seal().get("files") == self._list_files()

    def _read_seal(self) -> dict[str, Any]:
        if self.folder is None:
            return {}
        try:
            written = parse_json((self.folder / _SEAL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return written if isinstance(written, dict) else {}

    def wait_for_seal(self) -> bool:
        """Return whether the files are as they were written last; where a writer is at work, after its commit."""
        until = time.monotonic() + _LONGEST_COMMIT_SEC
        while not self.is_sealed():
            assert self.folder is not None
            if not (self.folder / FILE_NAME).exists() or time.monotonic() > until:
                return False
            time.sleep(0.05)
        self.reopen()
        return True

    def seal(self) -> None:
        """Note the version and the state of all files, so that changes of others are seen."""
        if self.folder is None:
            return
        part = self.folder / f".{_SEAL}.{os.getpid()}.part"
        with explain(self.location, "written"):
            content = {"version": self.read_version(), "files": self._list_files()}
            part.write_text(json.dumps(content), encoding="utf-8")
            os.replace(part, self.folder / _SEAL)

    def _list_files(self) -> dict[str, str]:
        assert self.folder is not None
        root = self.folder / f"{_TABLE}.lance"
        files: dict[str, str] = {}
        for place, _, names in os.walk(root):
            for name in names:
                path = os.path.join(place, name)
                try:
                    files[os.path.relpath(path, root)] = stamp_file(path)
                except FileNotFoundError:  # of an old version, cleaned up meanwhile
                    continue
        return files


def create_library_store(location: str | Path, settings: LibrarySettings) -> LibraryStore:
    """Make an empty index.

    Raises:
        LibraryError: if it cannot be written.
        FileExistsError: if something else is there.
    """
    location = str(location)
    if "://" not in location:
        folder = Path(location)
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"'{folder}' is a file; expected a folder for the index")
        others = [] if not folder.is_dir() else [name for name in os.listdir(folder) if not _is_ours(name)]
        if others:
            raise FileExistsError(
                f"'{folder}' holds other files, such as '{sorted(others)[0]}'; give the index a folder of its own"
            )
    content = {**asdict(settings), "model": asdict(settings.model)}
    metadata = {_SETTINGS_KEY: json.dumps(content).encode()}
    with explain(location, "written"):
        if "://" not in location:
            Path(location).mkdir(parents=True, exist_ok=True)
        schema = make_schema(settings.embedding_size, metadata)
        table = wait_for(connect(location).create_table(_TABLE, schema=schema))
    store = LibraryStore(location, table, schema, settings)
    store.seal()
    return store


def _is_ours(name: str) -> bool:
    return name in (FILE_NAME, _SEAL) or name.startswith(f".{_SEAL}")


def require_library(location: str | Path) -> None:
    """Raise ``FileNotFoundError`` where no index is."""
    if not is_library(location):
        raise FileNotFoundError(
            f"'{location}' is no index; make one with clipbert index SOURCE --model MODEL --out {location}"
        )


def open_library_store(location: str | Path) -> LibraryStore:
    """Open an index.

    Raises:
        FileNotFoundError: if none is there.
        LibraryError: if it cannot be read, or is of another version.
    """
    location = str(location)
    require_library(location)
    with explain(location, "read"):
        table = wait_for(connect(location).open_table(_TABLE))
        schema = wait_for(table.schema())
    settings = _read_settings(location, schema.metadata or {})
    store = LibraryStore(location, table, schema, settings)
    expected = make_schema(settings.embedding_size, {})
    if schema.remove_metadata() != expected:
        raise LibraryError(
            f"the index {location} has the columns {schema.names}; expected {expected.names}; delete it and "
            f"build it again"
        )
    return store


def _read_settings(location: str, metadata: dict[bytes, bytes]) -> LibrarySettings:
    advice = "delete it and build it again with clipbert index"
    try:
        content = parse_json(metadata[_SETTINGS_KEY].decode())
        if content["version"] != FORMAT_VERSION:
            raise LibraryError(
                f"the index {location} is of version {content['version']}, and this package writes {FORMAT_VERSION}; "
                f"{advice}"
            )
        return LibrarySettings(**{**content, "model": ModelIdentity(**content["model"])})
    except (KeyError, ValueError, TypeError) as error:
        raise LibraryError(f"'{location}' holds no index of this package ({error!r}); {advice}") from error


@contextmanager
def explain(location: str, done: str) -> Iterator[None]:
    """Turn what LanceDB raises into one line that says what to do.

    Args:
        location: place of the index.
        done: ``read`` or ``written``.

    Raises:
        LibraryError: with the reason.
    """
    try:
        yield
    except (LibraryError, ImportError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:  # LanceDB raises RuntimeError, ValueError and OSError, whatever happened
        reason = " ".join(str(error).split())
        if "no space left" in reason.lower() or "os error 28" in reason.lower():
            folder = next(
                (place for place in (Path(location), *Path(location).parents) if place.is_dir()), None
            )
            free = f"; {shutil.disk_usage(folder).free / 1e6:.0f} MB are free" if folder else ""
            raise LibraryError(
                f"the index {location} could not be {done}: the disk is full{free}. What was committed before is "
                f"whole; make room and run the same command again"
            ) from error
        raise LibraryError(f"the index {location} could not be {done}: {reason[:400]}") from error


#: Text and comments of SQL; names in quotes.
_TEXT, _QUOTED = r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", r'"[^"]*"'


def join_filters(first: str, second: str | None) -> str:
    """Return a filter that leaves what both leave; a comment at the end of one does not reach the other."""
    return f"({first}) AND ({second}\n)" if second else first


def names_columns(where: str | None, columns: Iterable[str]) -> bool:
    """Tell whether a filter names one of some columns."""
    bare = re.sub(_TEXT, " ", where or "", flags=re.DOTALL)
    return not {*columns}.isdisjoint(re.findall(r"\w+", bare.lower()))


def _is_balanced(text: str) -> bool:
    depth = 0
    for bracket in re.findall("[()]", text):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return False
    return depth == 0


def _describe_filter(where: str, reason: str) -> str:
    reason = re.sub(r",? ?/[\w./-]*\.cargo\S*", "", reason)
    allowed = ", ".join(FILTER_COLUMNS)
    unknown = re.search(r"No field named \"?([\w.]+)", reason)
    if unknown:
        name = unknown.group(1).rstrip(".")
        return f"--where: no column '{name}'{suggest(name, FILTER_COLUMNS)}; allowed are {allowed}"
    return (
        f'--where {where!r} is no filter: {reason[:200]}; expected SQL such as "duration_sec < 60 and path like '
        f"'news/%'\" over {allowed}"
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _count_codes(size: int) -> int:
    """Return the number of codes of an embedding: one for four of its values, or what divides its size."""
    return next(count for count in range(max(1, size // 4), 0, -1) if size % count == 0)
