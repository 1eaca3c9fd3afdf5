"""Keras files as text and data: an archive or a JSON text, within bounds; nothing is written, and nothing run."""

import json
import os
import zipfile
import zlib
from typing import IO, Any

from archcalc.errors import ModelError, nearest

BYTES = 16 * 2**20  # of a config, and of an archive's list of contents
DEPTH = 400  # values inside each other
VALUES = 1_000_000  # of one config
CONFIG = "config.json"
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound
ENCRYPTED = 0x1
MAGIC = {b"PK": "archive", b"\x89HDF": "hdf5"}
AGAIN = "open it with Keras 3 and save it anew: keras.models.load_model(…).save('model.keras')"
Broken = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError)


def contents(path: str) -> Any:
    """The config in a `.keras` archive or in a file of JSON, as plain data."""
    with _opened(path) as file:
        start = file.read(4)
        file.seek(0)
        match next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "json"):
            case "archive":
                data = _config_of(file, path)
            case "hdf5":
                raise ModelError("Keras", "an HDF5 file cannot be read", path, way_out=AGAIN)
            case _:
                data = _bounded(file.read(BYTES + 1), path)
    return parsed(data, path)


def parsed(text: bytes | str, file: str) -> Any:
    """The data of a JSON text."""
    if isinstance(text, str) and len(text) > BYTES:
        raise _too_long(file)
    try:
        data = json.loads(text)
    except RecursionError:
        raise _too_deep(file) from None
    except json.JSONDecodeError as error:
        raise ModelError(
            "JSON", "must be well-formed", error.msg, where=f"{file}:{error.lineno}:{error.colno}"
        ) from None
    except UnicodeDecodeError:
        raise ModelError("JSON", "must be UTF-8 text", "other bytes", where=file) from None
    except ValueError as error:  # a number of thousands of digits
        raise ModelError("JSON", "must be readable", str(error), where=file) from None
    return sound(data, file)


def sound(data: Any, file: str) -> Any:
    """The data, if it is not nested too deeply and not too long, also where one value stands in many places."""
    level, depth, count = [data], 0, 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise _too_deep(file)
        collections = [value for value in level if isinstance(value, dict | list | tuple)]
        count += sum(map(len, collections))
        if count > VALUES:
            raise ModelError("JSON", f"must hold at most {VALUES:,} values", "more", where=file)
        level = [item for value in collections for item in (value.values() if isinstance(value, dict) else value)]
    return data


def _too_deep(file: str) -> ModelError:
    return ModelError("JSON", f"must nest at most {DEPTH} levels", "more", where=file)


def _too_long(file: str) -> ModelError:
    return ModelError("Keras", f"a config must have at most {BYTES // 2**20} MiB", "more", where=file)


def _bounded(data: bytes, file: str) -> bytes:
    if len(data) > BYTES:
        raise _too_long(file)
    return data


def _opened(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")  # whoever asks closes it
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        raise ModelError("model", "no such file", path, way_out=near) from None
    except IsADirectoryError:
        raise ModelError("model", "must be a file", f"the directory {path}") from None
    except (OSError, ValueError) as error:
        raise ModelError("model", "must be readable", f"{path}: {getattr(error, 'strerror', None) or error}") from None


class _Sparing:
    """A file that hands out no more at once than a config may be long, whatever the archive says of itself."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self.file, self.path = file, path
        self.tell, self.seek, self.seekable = file.tell, file.seek, file.seekable

    def read(self, size: int = -1) -> bytes:
        most = BYTES + 1 if size < 0 else min(size, BYTES + 1)
        return _bounded(self.file.read(most), self.path)


def _config_of(file: IO[bytes], path: str) -> bytes:
    try:
        with zipfile.ZipFile(_Sparing(file, path)) as archive:
            info = _entry(archive, path)
            with archive.open(info) as config:
                return _bounded(config.read(BYTES + 1), path)
    except ModelError:
        raise
    except Broken as error:
        raise ModelError("Keras", "must be a whole archive", str(error) or type(error).__name__, where=path) from None


def _entry(archive: zipfile.ZipFile, path: str) -> zipfile.ZipInfo:
    """The archive's config, if there is one, and only one, and if no name leads out of the archive."""
    for name in archive.namelist():
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise ModelError("Keras", "names in an archive must stay inside it", repr(name), where=path)
    found = [info for info in archive.infolist() if info.filename == CONFIG]
    if len(found) != 1:
        rule = f"an archive must hold {CONFIG} once"
        raise ModelError("Keras", rule, f"{len(found)} of them", where=path, way_out="was it saved with model.save()?")
    if found[0].file_size > BYTES:
        raise _too_long(path)
    if found[0].flag_bits & ENCRYPTED:
        raise ModelError("Keras", "a config must not be encrypted", CONFIG, where=path)
    if found[0].compress_type not in PACKED:
        raise ModelError("Keras", "a config must be stored or deflated", f"method {found[0].compress_type}", where=path)
    return found[0]
