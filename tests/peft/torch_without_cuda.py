#!/usr/bin/env python3
"""Makes torch's wheel for Linux importable without the CUDA libraries that it is linked to: 5 GB that work on a CPU never calls.

    python torch_without_cuda.py      (by the Python whose torch it is; needs gcc and readelf)

Each library that is missing gets a stand-in beside torch's own, with the same names of functions and their versions.
"""
import collections
import os
import re
import subprocess
import sysconfig
import tempfile

SITE = sysconfig.get_paths()["purelib"]
TORCH = os.path.join(SITE, "torch", "lib")
# Loaded only when CUDA is used.
LATE = {"libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so"}
SYSTEM = re.compile(r"(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux.*|libgomp|libgfortran|libquadmath"
                    r"|libz)\.so")
CUDA = re.compile(r"cu|nccl|nv")


def readelf(option, path):
    return subprocess.run(["readelf", option, path], capture_output=True, text=True, check=True).stdout.splitlines()


def version_owners(path):
    """(version, its number in this file) -> the library that a symbol of the version comes from."""
    library, owners = None, {}
    for line in readelf("-VW", path):
        if match := re.search(r"File: (\S+)", line):
            library = match[1]
        if match := re.search(r"Name: (\S+)\s+Flags.*Version: (\d+)", line):
            owners[match[1], match[2]] = library
    return owners


def what_is_missing():
    """Library -> version -> names of functions; those without a version belong to the first."""
    own = {f for f in os.listdir(TORCH) if ".so" in f}
    present = own | {f for _, _, files in os.walk(os.path.join(SITE, "nvidia")) for f in files}
    libraries, defined, unversioned = set(), set(), set()
    versioned = collections.defaultdict(lambda: collections.defaultdict(set))
    for path in (os.path.join(TORCH, f) for f in sorted(own - LATE)):
        libraries |= {match[1] for line in readelf("-dW", path) if (match := re.search(r"NEEDED.*\[(.*?)\]", line))}
        owners = version_owners(path)
        for line in readelf("-sDW", path):
            # number: value size type binding visibility section name (number of version)
            match line.split():
                case [number, _, _, _, binding, _, section, name, *version] if number.endswith(":"):
                    plain, _, of = name.replace("@@", "@").partition("@")
                    if section != "UND":
                        defined.add(plain)
                    elif of:
                        versioned[owners.get((of, "".join(version).strip("()")))][of].add(plain)
                    elif binding != "WEAK":
                        unversioned.add(plain)
    missing = sorted(lib for lib in libraries - present if not SYSTEM.match(lib))
    versioned = {lib: dict(versioned.get(lib, {})) for lib in missing}
    if missing:
        versioned[missing[0]][""] = {name for name in unversioned - defined if CUDA.match(name)}
    return versioned


def make(library, versions):
    names = set().union(*versions.values())
    with tempfile.TemporaryDirectory() as folder:
        source, script = os.path.join(folder, "names.c"), os.path.join(folder, "versions.map")
        with open(source, "w") as out:
            for name in sorted(names):
                # Registering kernels must seem to work; what is called in earnest fails.
                out.write(f"long {name}(void) {{ return {0 if name.startswith('__cuda') else 100}; }}\n")
        with open(script, "w") as out:
            for version in filter(None, versions):
                out.write(f"{version} {{ global: {' '.join(n + ';' for n in sorted(versions[version]))} }};\n")
        command = ["gcc", "-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{library}", source,
                   "-o", os.path.join(TORCH, library)]
        if any(versions):
            command.append(f"-Wl,--version-script,{script}")
        subprocess.run(command, check=True)
    print(library, len(names))


for library, versions in what_is_missing().items():
    make(library, versions)
