"""Tests lie where their modules do: ``clipbert_mmf/training/loop.py`` has ``tests/training/test_loop.py``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, TESTS = ROOT / "clipbert_mmf", ROOT / "tests"
#: Smallest share of modules with a test file of their own.
SMALLEST_SHARE = 0.75


def mirror(module: Path) -> Path:
    """Return the path of a module's test."""
    place = module.relative_to(PACKAGE)
    return TESTS / place.parent / f"test_{place.name}"


def test_three_quarters_of_the_modules_have_a_test_of_their_own():
    modules = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    missing = [str(path.relative_to(PACKAGE)) for path in modules if not mirror(path).is_file()]
    share = 1 - len(missing) / len(modules)
    assert share >= SMALLEST_SHARE, (
        f"{share:.0%} of {len(modules)} modules have a test at the mirrored path; without: "
        f"{', '.join(missing)}"
    )
