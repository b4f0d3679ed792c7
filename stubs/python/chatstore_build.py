"""Builds the wheel (PEP 517), with nothing but Python, CMake and what chatstore itself needs.

The package is put together by CMake, target chatstore_python; here it becomes a wheel.

    CHATSTORE_BUILD_DIR    a build folder to use (and bring up to date); default: one that is made
                           for this wheel and thrown away
    CHATSTORE_DEPS_DIR     where fetched packages are kept (ChatstoreNng.cmake)
    CHATSTORE_PURE         1: leave out the compiled part. The wheel runs everywhere, as a client:
                           without the embedded engine, with the slower codec
"""

import base64
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE_DIR = os.path.abspath(os.path.join(HERE, "..", ".."))
NAME = "chatstore"
METADATA = """Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: Client of chatstore, a service in front of the database files of chat bots
Requires-Python: >=3.11
Provides-Extra: protobuf
Requires-Dist: protobuf >=4.21 ; extra == "protobuf"
"""


def version():
    with open(os.path.join(HERE, NAME, "__init__.py"), encoding="utf-8") as file:
        return re.search(r'^__version__ = "(.+)"$', file.read(), re.MULTILINE).group(1)


def is_pure():
    return os.environ.get("CHATSTORE_PURE", "") not in ("", "0")


def tag():
    if is_pure():
        return "py3-none-any"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"{python}-{python}-{platform}"


def run(*command):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed; the reason is above")


def put_together(build_dir):
    """The folder of the complete package."""
    if not os.path.exists(os.path.join(SOURCE_DIR, "CMakeLists.txt")):
        raise SystemExit(
            f"{SOURCE_DIR} is not chatstore's source: the wheel is built from a whole checkout, with "
            "`pip install ./stubs/python` in there")
    if not os.path.exists(os.path.join(build_dir, "CMakeCache.txt")):
        options = [] if is_pure() else [f"-DCHATSTORE_PYTHON_NATIVE={sys.executable}"]
        run("cmake", "-S", SOURCE_DIR, "-B", build_dir, "-G", "Ninja", "-DBUILD_TESTING=OFF",
            *options)
    run("cmake", "--build", build_dir, "--target", "chatstore_python")
    return os.path.join(build_dir, "python", NAME)


def package_files(folder):
    """(name in the wheel, bytes) of the package's files."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".so") and (is_pure() or name != "_native" + suffix):
            continue
        if os.path.isfile(path):
            with open(path, "rb") as file:
                yield f"{NAME}/{name}", file.read()


def record_line(name, data):
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(data)}\n"


def info_files():
    """(name, bytes) of what is known before anything is built."""
    info = f"{NAME}-{version()}.dist-info"
    yield f"{info}/METADATA", METADATA.format(name=NAME, version=version()).encode()
    yield f"{info}/WHEEL", (f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: "
                            f"{'true' if is_pure() else 'false'}\nTag: {tag()}\n").encode()


def write_wheel(path, files):
    info = f"{NAME}-{version()}.dist-info"
    files = dict(files)
    if not is_pure() and not any(name.startswith(f"{NAME}/_native") for name in files):
        raise SystemExit(f"the build has no chatstore._native for {sys.executable}: it was made for "
                         "another Python (CHATSTORE_PYTHON_NATIVE)")
    files.update(info_files())
    record = "".join(record_line(name, data) for name, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Hook of PEP 517."""
    name = f"{NAME}-{version()}-{tag()}.whl"
    build_dir = os.environ.get("CHATSTORE_BUILD_DIR")
    with tempfile.TemporaryDirectory(prefix="chatstore-wheel-") as temporary:
        folder = put_together(os.path.abspath(build_dir) if build_dir else temporary)
        write_wheel(os.path.join(wheel_directory, name), package_files(folder))
    return name


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Hook of PEP 517; without it pip would build the wheel twice."""
    for name, data in info_files():
        path = os.path.join(metadata_directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    return os.path.dirname(name)


def build_sdist(sdist_directory, config_settings=None):
    """Hook of PEP 517; such an archive alone cannot be built, as the contract is outside of it."""
    base = f"{NAME}-{version()}"
    with tarfile.open(os.path.join(sdist_directory, base + ".tar.gz"), "w:gz") as archive:
        archive.add(HERE, base)
    return base + ".tar.gz"
