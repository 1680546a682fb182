"""The lock files satisfy setup.py on every Python and platform, and name no package index."""

import re

import pytest
from packaging.requirements import Requirement

from tests.release.locks import LOCKS
from tests.release.packaging import setup_arguments
from tests.release.test_packaging import INTEL_MAC, LINUX, LINUX_ARM, MAC, PYTHONS, WINDOWS

ARGUMENTS = setup_arguments()
NAMES = ("runtime", *ARGUMENTS["extras_require"])
PLACES = (LINUX, LINUX_ARM, MAC, INTEL_MAC, WINDOWS)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(name):
    """(requirement, number of hashes) for each entry of a lock file."""
    text = (LOCKS / f"{name}.lock").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.partition(" --hash=")[0].strip()), line.count("--hash=sha256:")) for line in lines]


def holds(requirement, python, place):
    environment = {
        "python_version": python, "python_full_version": f"{python}.5", "sys_platform": place[0],
        "platform_machine": place[1], "platform_python_implementation": "CPython", "implementation_name": "cpython",
        "os_name": "nt" if place is WINDOWS else "posix", "extra": "",
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[place[0]],
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_satisfies_setup(name):
    wanted = [*ARGUMENTS["install_requires"], *ARGUMENTS["extras_require"].get(name, [])]
    locked = [requirement for requirement, _ in entries(name)]
    for python in PYTHONS:
        for place in PLACES:
            versions = {}
            for entry in locked:
                if holds(entry, python, place):
                    assert canonical(entry.name) not in versions, f"{entry.name} twice on {python} {place}"
                    versions[canonical(entry.name)] = str(entry.specifier).removeprefix("==")
            for requirement in map(Requirement, wanted):
                if holds(requirement, python, place):
                    version = versions.get(canonical(requirement.name))
                    assert version, f"run make locks: {name}.lock lacks {requirement.name} on {python} {place}"
                    assert version in requirement.specifier, f"run make locks: {requirement.name} is {version}"


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_pinned_and_hashed(name):
    for requirement, hashes in entries(name):
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes, requirement


def test_no_lock_without_its_extra_and_no_index():
    files = {path.stem: path.read_text() for path in LOCKS.iterdir()}
    assert set(files) == set(NAMES)
    assert not [name for name, text in files.items() if "://" in text or "-index" in text or "find-links" in text]
