"""Where a sweep's state lies: any filesystem that pyarrow reaches, with the few operations we need of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import UserError

if TYPE_CHECKING:
    import pyarrow.fs

ENVIRONMENT = "ORCHESTRATOR_STORAGE"


def default_location() -> str:
    """``$ORCHESTRATOR_STORAGE``, else ``./runs``."""
    return os.environ.get(ENVIRONMENT) or "./runs"


class Storage:
    """A root folder on a filesystem; paths are relative to it, with ``/``.

    A local folder (or a mounted one) renames atomically; an object store has atomic puts instead. Nothing else
    differs, and both are hidden here.

    Args:
        location: A folder, or a URI that pyarrow knows (``s3://bucket/prefix``, ``gs://...``, ``file:///...``).

    Raises:
        UserError: For a URI that pyarrow does not know.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._filesystem: pyarrow.fs.FileSystem | None = None
        if "://" in location:
            import pyarrow
            import pyarrow.fs

            try:
                self._filesystem, root = pyarrow.fs.FileSystem.from_uri(location)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
                raise UserError(
                    f"storage {location!r} cannot be opened: {error}; give a folder, s3://bucket/prefix or gs://bucket/prefix"
                ) from error
            self.root: str = root.rstrip("/")
            if not self.root:
                raise UserError(f"storage {location!r} names no bucket or folder; give s3://bucket/prefix, say")
            self.local = isinstance(self._filesystem, pyarrow.fs.LocalFileSystem)
        else:
            self.root = str(Path(location).expanduser().absolute())
            self.local = True

    def __reduce__(self) -> tuple[Any, ...]:
        location = self.root if self.local else self.location  # a worker's current folder is another one
        return type(self), (location,)

    @property
    def filesystem(self) -> pyarrow.fs.FileSystem:
        """The pyarrow filesystem; :meth:`path` gives paths in it."""
        if self._filesystem is None:
            import pyarrow.fs

            self._filesystem = pyarrow.fs.LocalFileSystem()
        return self._filesystem

    def path(self, name: str) -> str:
        """The full path of a name below the root, as the filesystem wants it."""
        return f"{self.root}/{name}" if name else self.root

    def check_writable(self) -> None:
        """Makes the root if it is missing and tries a write.

        Raises:
            UserError: Where that is refused.
        """
        name = f"tmp/.writable-{uuid.uuid4().hex}"
        try:
            self.write(name, b"")
            self.delete(name)
        except OSError as error:
            raise UserError(
                f"storage {self.location!r} cannot be written: {error}; give another with --storage or ${ENVIRONMENT}"
            ) from error

    def write(self, name: str, *parts: bytes) -> None:
        """Writes a file, one part after the other, as a whole: a reader sees the old content or the new, never less."""
        if self.local:
            target = Path(self.path(name))
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
            try:
                file = temporary.open("wb")
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                file = temporary.open("wb")
            try:
                with file:
                    file.writelines(parts)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)  # there only where the disk is full or the target refuses
            return
        with self.filesystem.open_output_stream(self.path(name)) as stream:
            for part in parts:
                stream.write(part)

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is no such file."""
        try:
            if self.local:
                return Path(self.path(name)).read_bytes()
            with self.filesystem.open_input_stream(self.path(name)) as stream:
                content: bytes = stream.read()
                return content
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if self.exists(name):  # else another process took it away between opening and reading
                raise
            return None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Writes a JSON file as a whole."""
        self.write(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def size(self, name: str) -> int | None:
        """A file's size in bytes, or None where there is no such file."""
        if self.local:
            try:
                return Path(self.path(name)).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None
        info = self.filesystem.get_file_info(self.path(name))
        return info.size if info.is_file else None

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        import pyarrow.fs

        if self.local:
            return Path(self.path(name)).exists()
        found: bool = self.filesystem.get_file_info(self.path(name)).type != pyarrow.fs.FileType.NotFound
        return found

    def names(self, folder: str) -> list[str]:
        """Base names of what lies in a folder, sorted; none where there is no such folder."""
        if self.local:
            try:
                return sorted(os.listdir(self.path(folder)))  # noqa: PTH208 (names are wanted, not paths)
            except (FileNotFoundError, NotADirectoryError):
                return []
        import pyarrow.fs

        selector = pyarrow.fs.FileSelector(self.path(folder), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def upload(self, source: Path, name: str) -> None:
        """Copies a local file to a name."""
        if self.local:
            target = Path(self.path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
            shutil.copyfile(source, temporary)
            temporary.replace(target)
            return
        with source.open("rb") as content, self.filesystem.open_output_stream(self.path(name)) as stream:
            shutil.copyfileobj(content, stream, 8 << 20)

    def download(self, name: str, target: Path) -> None:
        """Copies a file to a local path.

        Raises:
            FileNotFoundError: Where there is no such file.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.filesystem.open_input_stream(self.path(name)) as stream, target.open("wb") as content:
            shutil.copyfileobj(stream, content, 8 << 20)

    def move(self, source: str, target: str) -> None:
        """Moves a file or folder; on an object store file by file, those at the top first (they name the others).

        Raises:
            FileNotFoundError: Where there is nothing of that name (any more).
        """
        if self.local:
            Path(self.path(target)).parent.mkdir(parents=True, exist_ok=True)
            Path(self.path(source)).rename(self.path(target))
            return
        files = self._objects(source)
        if not files:
            raise FileNotFoundError(source)
        for path in files:
            try:
                self.filesystem.copy_file(path, self.path(target) + path[len(self.path(source)) :])
                self.filesystem.delete_file(path)
            except OSError:
                if self.filesystem.get_file_info(path).is_file:  # else another process moved or deleted it
                    raise

    def _objects(self, name: str) -> list[str]:
        import pyarrow.fs

        path = self.path(name)
        if self.filesystem.get_file_info(path).is_file:
            return [path]
        selector = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        found = [info.path for info in self.filesystem.get_file_info(selector) if info.is_file]
        return sorted(found, key=lambda file: (file.count("/"), file))

    def delete(self, name: str) -> None:
        """Deletes a file or a folder with all that is in it; a missing one is no error."""
        if self.local:
            path = Path(self.path(name))
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            return
        import pyarrow.fs

        info = self.filesystem.get_file_info(self.path(name))
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if info.type == pyarrow.fs.FileType.Directory:
                self.filesystem.delete_dir(self.path(name))
            elif info.is_file:
                self.filesystem.delete_file(self.path(name))
